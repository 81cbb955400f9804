// SPDX-License-Identifier: LGPL-2.1-or-later
#include "domain/xml_document.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "domain_fixtures.hpp"

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

namespace gpuward {
namespace {

/// Every element's bytes, the outer before the inner.
std::vector<std::string> pieces(const Document& document, const Element& element) {
  std::vector<std::string> all{std::string(document[element.whole])};
  for (const Element& child : element.children)
    for (const std::string& piece : pieces(document, child)) all.push_back(piece);
  return all;
}

std::vector<std::string> pieces(std::string_view text) {
  const Document document = parse_document(text);
  return pieces(document, document.root);
}

std::string start_tag(const Document& document, const Element& element) {
  return std::string(document[{element.whole.begin, element.inside}]);
}

std::string error_in(std::string_view text) {
  return error_of([&] { parse_document(text); });
}

TEST(Document, ReadsAnAmpersandInAValue) {
  const Document document = parse_document("<r a='R&amp;D &#38;#38; &lt;'/>");
  EXPECT_EQ(document.root.attribute("a"), "R&D &#38; <");
}

TEST(Document, KnowsWhichBytesAnElementCameFrom) {
  EXPECT_THAT(pieces("<a/>"), ElementsAre("<a/>"));
  EXPECT_THAT(pieces("<a></a>"), ElementsAre("<a></a>"));
  EXPECT_THAT(pieces("<a ></a >"), ElementsAre("<a ></a >"));
  EXPECT_THAT(pieces(" \n<a\n/>\n "), ElementsAre("<a\n/>"));
  EXPECT_THAT(
      pieces("<a><b/><b>x</b>y<c><d/></c></a>"),
      ElementsAre("<a><b/><b>x</b>y<c><d/></c></a>", "<b/>", "<b>x</b>", "<c><d/></c>", "<d/>"));
}

TEST(Document, IsNotMisledByMarkupThatIsNone) {
  EXPECT_THAT(pieces("<?xml version='1.0'?><!-- <a> --><r><!-- <b/> > --><c/><!----></r><!-- -->"),
              ElementsAre("<r><!-- <b/> > --><c/><!----></r>", "<c/>"));
  EXPECT_THAT(pieces("<r><![CDATA[<b/>]]><c/><![CDATA[]]></r>"),
              ElementsAre("<r><![CDATA[<b/>]]><c/><![CDATA[]]></r>", "<c/>"));
  EXPECT_THAT(pieces("<?p <a> ?><r><?q <b/> ?><c/></r>"),
              ElementsAre("<r><?q <b/> ?><c/></r>", "<c/>"));
}

TEST(Document, TakesAnythingInAttributeValues) {
  EXPECT_THAT(
      pieces("<r><a x='>' y=\"/>\" z='&lt;b/&gt;&amp;&quot;&apos;&#60;'/><c/></r>"),
      ElementsAre(testing::_, "<a x='>' y=\"/>\" z='&lt;b/&gt;&amp;&quot;&apos;&#60;'/>", "<c/>"));
  const Document document =
      parse_document("<a one='>' two=\"it's\" three='&lt;&#65;&quot;' four='\t\n'\n/>");
  EXPECT_EQ(document.root.attribute("one"), ">");
  EXPECT_EQ(document.root.attribute("two"), "it's");
  EXPECT_EQ(document.root.attribute("three"), "<A\"");
  EXPECT_EQ(document.root.attribute("four"), "  ") << "XML makes blanks of tabs and line ends";
  EXPECT_EQ(document.root.attribute("five"), std::nullopt);
  EXPECT_EQ(document.root.inside, document.text.size());
}

TEST(Document, CountsBytesNotCharactersAndKeepsLineEnds) {
  EXPECT_THAT(pieces("<ä>ü€😀<b ß='é'/>\r\n<c\r\n/>\r\n</ä>"),
              ElementsAre("<ä>ü€😀<b ß='é'/>\r\n<c\r\n/>\r\n</ä>", "<b ß='é'/>", "<c\r\n/>"));
  EXPECT_THAT(pieces("\xef\xbb\xbf<a><b/></a>"), ElementsAre("<a><b/></a>", "<b/>"));
}

TEST(Document, KeepsItsPlaceInLargeTexts) {
  std::string text = "<r>";
  for (int i = 0; i < 20'000; ++i)
    text += "<e n='" + std::to_string(i) + "'>€" + std::string(static_cast<size_t>(i % 50), 'x') +
            "</e>\r\n";
  text += "</r>";
  ASSERT_GT(text.size(), 900'000u);
  const Document document = parse_document(text);
  ASSERT_EQ(document.root.children.size(), 20'000u);
  for (const Element& element : document.root.children) {
    ASSERT_THAT(std::string(document[element.whole]), StartsWith("<e n='"));
    ASSERT_TRUE(document[element.whole].ends_with("</e>"));
    ASSERT_TRUE(document[element.whole].starts_with("<e n='" +
                                                    std::string(*element.attribute("n")) + "'>"));
  }
  EXPECT_EQ(document[document.root.whole], text);
}

TEST(Document, HoldsItsPlaceBehindALargeText) {
  const std::string blob(3 << 20, 'x');
  const std::string text = "<r><a>" + blob + "</a><b v='" + blob + "'/><!--" + blob + "--><c/></r>";
  const auto found = pieces(text);
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[1], "<a>" + blob + "</a>");
  EXPECT_EQ(found[2], "<b v='" + blob + "'/>");
  EXPECT_EQ(found[3], "<c/>");
}

TEST(Document, KnowsTheLineOfEachTag) {
  const Document document = parse_document("<r>\n<a\n x='1\n2'\n/><b>\n</b>\r\n<c/></r>");
  EXPECT_EQ(document.root.line, 1);
  EXPECT_EQ(document.root.child("a")->line, 2);
  EXPECT_EQ(document.root.child("b")->line, 5);
  EXPECT_EQ(document.root.child("c")->line, 7);
}

TEST(Document, KnowsOneTagFromTwo) {
  const Document document = parse_document("<r><a/><b></b><c />\n<d></d ></r>");
  EXPECT_TRUE(document.is_one_tag(*document.root.child("a")));
  EXPECT_FALSE(document.is_one_tag(*document.root.child("b")));
  EXPECT_TRUE(document.is_one_tag(*document.root.child("c")));
  EXPECT_FALSE(document.is_one_tag(*document.root.child("d")));
  EXPECT_EQ(start_tag(document, *document.root.child("c")), "<c />");
  EXPECT_EQ(start_tag(document, *document.root.child("d")), "<d>");
}

TEST(Document, TellsNamespacesByTheirUriAndNotByPrefix) {
  const Document document = parse_document(
      "<r xmlns:a='urn:1'><a:e a:k='1' k='2'/><b:e xmlns:b='urn:1'/><e/><e xmlns='urn:2'/></r>");
  const auto& children = document.root.children;
  EXPECT_EQ(children[0].name_space, "urn:1");
  EXPECT_EQ(children[0].attribute("k"), "2");
  EXPECT_EQ(children[1].name_space, "urn:1");
  EXPECT_EQ(document.root.child("e"), &children[2]);
  EXPECT_EQ(document.root.child("e", "urn:2"), &children[3]);
  EXPECT_EQ(document.tag_name(children[0]), "a:e");
  EXPECT_EQ(document.tag_name(children[2]), "e");
}

TEST(Document, DoesNotTakeAnUndeclaredPrefixForNone) {
  const Document document = parse_document("<r><x:e x:k='1'/></r>");
  EXPECT_EQ(document.root.child("e"), nullptr);
  EXPECT_NE(document.root.child("x:e"), nullptr);
  EXPECT_EQ(document.root.child("x:e")->attribute("k"), std::nullopt);
}

TEST(Document, GathersTheTextOfAnElement) {
  const Document document =
      parse_document("<r>a&lt;<b>no</b>&#x20AC;<!-- no --><![CDATA[<c>]]></r>");
  EXPECT_EQ(document.root.text, "a<€<c>");
}

TEST(Document, FindsTheBytesOfAnAttributesValue) {
  const std::string text =
      "<r><a  uuid-x='0' xmlns:p=\"uuid='9'\" p:uuid='1' q=\"uuid='2'\" uuid\n=\t\"3>&lt;\" r=''"
      "/><b>uuid='4'</b></r>";
  const Document document = parse_document(text);
  const Element& a = *document.root.child("a");
  ASSERT_TRUE(document.value_span(a, "uuid"));
  EXPECT_EQ(document[*document.value_span(a, "uuid")], "3>&lt;");
  EXPECT_EQ(document[*document.value_span(a, "r")], "");
  EXPECT_FALSE(document.value_span(a, "s"));
  EXPECT_FALSE(document.value_span(*document.root.child("b"), "uuid"));
}

TEST(Document, FindsEveryAttributeOfEveryFixture) {
  for (const std::string& name : fixtures()) {
    const std::string text = fixture(name);
    const Document document = parse_document(text);
    std::vector<const Element*> todo{&document.root};
    while (!todo.empty()) {
      const Element& element = *todo.back();
      todo.pop_back();
      for (const Element& child : element.children) todo.push_back(&child);
      ASSERT_EQ(text[element.whole.begin], '<');
      ASSERT_EQ(text[element.whole.end - 1], '>');
      ASSERT_EQ(text[element.inside - 1], '>');
      for (const Attribute& attribute : element.attributes) {
        if (!attribute.name_space.empty()) continue;
        const auto span = document.value_span(element, attribute.name);
        ASSERT_TRUE(span) << name << " line " << element.line;
        if (document[*span].find('&') != std::string_view::npos) continue;
        ASSERT_EQ(document[*span], attribute.value) << name << " line " << element.line;
      }
    }
  }
}

TEST(Edits, AreMadeInTheOrderOfTheText) {
  EXPECT_EQ(apply_edits("0123456789", {{{8, 10}, "E"}, {{2, 4}, ""}, {{0, 0}, "A"}}), "A014567E");
  EXPECT_EQ(apply_edits("01", {{{1, 1}, "a"}, {{1, 1}, "b"}, {{1, 2}, "c"}}), "0abc");
  EXPECT_EQ(apply_edits("01", {{{1, 2}, "c"}, {{1, 1}, "a"}, {{2, 2}, "d"}}), "0acd");
  EXPECT_EQ(apply_edits("01", {}), "01");
  EXPECT_THROW(apply_edits("0123", {{{0, 2}, ""}, {{1, 3}, ""}}), Error);
  EXPECT_THROW(apply_edits("0123", {{{3, 5}, ""}}), Error);
}

TEST(Shown, IsFitForOneLineOnATerminal) {
  EXPECT_EQ(shown("a\nb\x1b[1m\x7f\xc2\x9b ü€"), "a?b?[1m??? ü€");
  EXPECT_EQ(shown("€€€", 4), "€...");
  EXPECT_EQ(shown(std::string(300, 'x')).size(), 203u);
}

TEST(HostileXml, IsRefusedWithTheLine) {
  EXPECT_EQ(error_in("<a>\n<b>\n</a>\n"),
            "domain XML line 3: Opening and ending tag mismatch: b line 2 and a");
  EXPECT_THAT(error_in("<a>\n\n<b x='1' x='2'/></a>"), StartsWith("domain XML line 3: "));
  EXPECT_THAT(error_in("<a><b x='<'/></a>"), HasSubstr("line 1"));
  EXPECT_THAT(error_in("<a/>\n<b/>"), StartsWith("domain XML line 2: "));
  EXPECT_THAT(error_in("<a/>text"), StartsWith("domain XML line 1: "));
  EXPECT_EQ(error_in(""), "domain XML: empty");
  EXPECT_EQ(error_in(" \n "), "domain XML: empty");
  EXPECT_NE(error_in("text"), "");
  EXPECT_NE(error_in("<"), "");
  EXPECT_NE(error_in("<!-- only -->"), "");
  EXPECT_NE(error_in("<a b='c' junk><b/></a>"), "");
  EXPECT_NE(error_in("<a>&#0;</a>"), "");
  EXPECT_NE(error_in("<a>\x01</a>"), "");
  EXPECT_NE(error_in("<a>&undeclared;</a>"), "");
  EXPECT_NE(error_in("<a b='&undeclared;'/>"), "");
}

TEST(HostileXml, HasNoDocumentType) {
  const std::string refusal = "a document type (DTD) is not supported";
  EXPECT_EQ(error_in("<!DOCTYPE a><a/>"), "domain XML line 1: " + refusal);
  EXPECT_EQ(error_in("<?xml version='1.0'?>\n<!DOCTYPE a SYSTEM 'http://127.0.0.1/a.dtd'><a/>"),
            "domain XML line 2: " + refusal);
  EXPECT_THAT(error_in("<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>"),
              HasSubstr(refusal));
  std::string laughs = "<!DOCTYPE a [<!ENTITY l0 'ha'>";
  for (int i = 1; i < 30; ++i) {
    const std::string before = "&l" + std::to_string(i - 1) + ";";
    laughs += "<!ENTITY l" + std::to_string(i) + " '" + before + before + before + before + "'>";
  }
  EXPECT_THAT(error_in(laughs + "]><a>&l29;</a>"), HasSubstr(refusal));
  EXPECT_EQ(error_in("<a><!-- <!DOCTYPE a> --><![CDATA[<!DOCTYPE a>]]></a>"), "");
}

TEST(HostileXml, IsUtf8AndNothingElse) {
  EXPECT_EQ(error_in("<?xml version='1.0' encoding='UTF-8'?><a/>"), "");
  EXPECT_EQ(error_in("<?xml version=\"1.0\" encoding = \"utf-8\" standalone='yes'?><a/>"), "");
  EXPECT_EQ(error_in("<?xml version='1.0'?><a encoding='latin1'/>"), "");
  const std::string other = "domain XML line 1: only UTF-8 is supported, no other encoding";
  EXPECT_EQ(error_in("<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe4</a>"), other);
  EXPECT_EQ(error_in("<?xml version='1.0' encoding='UTF-16'?><a/>"), other);
  EXPECT_EQ(error_in("<?xml version='1.0'\tencoding='UTF-7'?><a/>"), other);
  EXPECT_EQ(error_in("\xef\xbb\xbf<?xml version='1.0' encoding='EBCDIC-US'?><a/>"), other);
  EXPECT_NE(error_in("<a>\xe4</a>"), "") << "Latin-1";
  EXPECT_NE(error_in("<a>\xc0\xbc</a>"), "") << "an overlong '<'";
  EXPECT_NE(error_in("<a>\xed\xa0\x80</a>"), "") << "half a surrogate pair";
  using namespace std::string_view_literals;
  EXPECT_THAT(error_in("<a>\0</a>"sv), HasSubstr("NUL"));
  EXPECT_THAT(error_in("\xff\xfe<\0a\0/\0>\0"sv), HasSubstr("NUL"));
  EXPECT_THAT(error_in("\0<\0a\0/\0>"sv), HasSubstr("NUL"));
  EXPECT_NE(error_in("\x4c\x6f\xa7\x94\x93"), "") << "EBCDIC";
}

TEST(HostileXml, IsBounded) {
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "<a>";
  EXPECT_THAT(error_in(deep), HasSubstr("depth"));
  std::string deep_enough = "<a/>";
  for (int i = 0; i < 200; ++i) deep_enough = "<a>" + deep_enough + "</a>";
  EXPECT_EQ(error_in(deep_enough), "");

  std::string broad = "<a>";
  for (int i = 0; i < 1'000'000; ++i) broad += "<b/>";
  EXPECT_THAT(error_in(broad + "</a>"), HasSubstr("too many elements"));
  std::string tag = "<a>\n<b";
  for (int i = 0; i < 500'000; ++i) tag += " a" + std::to_string(i) + "=''";
  EXPECT_EQ(error_in(tag + "/></a>"), "domain XML line 2: too many attributes in one tag");
  EXPECT_EQ(error_in("<a>" + std::string(16 << 20, ' ') + "</a>"),
            "domain XML: larger than 16 MiB");
  EXPECT_EQ(error_in("<a>" + std::string(9'000'000, 'x') + "</a>"), "");
  error_in("<a b='" + std::string(15'000'000, 'x') + "'/>");  // either way, but it ends
  error_in("<" + std::string(1'000'000, 'a') + "/>");
}

TEST(HostileXml, EndsInTime) {
  const auto start = std::chrono::steady_clock::now();
  std::string attributes = "<a><b";
  for (int i = 0; i < 4'900; ++i) attributes += " a" + std::to_string(i) + "=''";
  EXPECT_EQ(error_in(attributes + "/></a>"), "");
  std::string namespaces;
  for (int depth = 0; depth < 200; ++depth) {
    namespaces += "<a";
    for (int i = 0; i < 200; ++i)
      namespaces += " xmlns:n" + std::to_string(depth * 200 + i) + "='u'";
    namespaces += '>';
  }
  for (int i = 0; i < 10'000; ++i) namespaces += "<n0:b/>";
  error_in(namespaces);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

TEST(HostileXml, CutAnywhereIsAnError) {
  const std::string text = fixture("metadata-mixed");
  const size_t last = text.rfind('>');
  for (size_t size = 0; size <= last; ++size)
    ASSERT_NE(error_in(std::string_view(text).substr(0, size)), "") << "cut at " << size;
  ASSERT_EQ(error_in(std::string_view(text).substr(0, last + 1)), "");
}

TEST(HostileXml, MakesLibxml2PrintNothing) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  for (const char* const text :
       {"<a>", "<a><b></a>", "<x:a/>", "<!DOCTYPE a SYSTEM 'nowhere'><a>&b;</a>", "<a>\xff</a>",
        "<a xmlns='relative'/>", "<a xmlns:x=''/>", "<a xml:space='odd'/>",
        "<?xml version='9.9'?><a/>"})
    error_in(text);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(HostileXml, MessagesAreOneLine) {
  for (const char* const text : {"<a>\xff\xfe</a>", "<a>&\n;</a>", "<a\x1b[31m/>", "<a>\n<b></a>"})
    EXPECT_EQ(error_in(text).find_first_of("\n\x1b"), std::string::npos) << error_in(text);
}

}  // namespace
}  // namespace gpuward
