// SPDX-License-Identifier: LGPL-2.1-or-later
// Against libvirt's own mock driver, which lives inside the library and needs no daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attach/rewrite.hpp"
#include "domain/domain.hpp"
#include "domain_fixtures.hpp"
#include "libvirt/client.hpp"

using testing::HasSubstr;
using testing::Not;

namespace gpuward {
namespace {

constexpr const char* mock = "test:///default";  // with one running domain, named "test"

std::string definition(const std::string& name) {
  return "<domain type='test'><name>" + name +
         "</name><uuid>6b1d3c52-9c07-4f10-8f6e-000000000001</uuid><memory>65536</memory>"
         "<os><type>hvm</type></os><devices/></domain>";
}

TEST(DomainStore, FindsByNameAndByUuid) {
  const DomainStore store(mock);
  const auto found = store.find("test");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "test");
  EXPECT_TRUE(found->active);
  EXPECT_TRUE(found->persistent);
  const auto again = store.find(to_string(found->uuid));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->name, "test");
  EXPECT_FALSE(store.find("other"));
  EXPECT_FALSE(store.find("6b1d3c52-9c07-4f10-8f6e-00000000000f"));
}

TEST(DomainStore, DefinesAndGivesBackWhatGpuwardWrote) {
  DomainStore store(mock);
  store.define(attach_gpu(definition("web01"), {"small"}));
  const auto found = store.find("web01");
  ASSERT_TRUE(found);
  EXPECT_FALSE(found->active);
  EXPECT_TRUE(found->persistent);
  const Domain domain = parse_domain(store.inactive_xml(found->uuid));
  ASSERT_EQ(domain.requests.size(), 1u);
  EXPECT_EQ(domain.requests[0].profile, "small");
  ASSERT_EQ(domain.hostdevs.size(), 1u);
  EXPECT_EQ(domain.hostdevs[0].instance, instance_uuid(found->uuid, "ua-gpuward-0"));
  EXPECT_EQ(store.all().size(), 2u);
}

TEST(DomainStore, TakesUuidLikeNames) {
  DomainStore store(mock);
  store.define(definition("aaaaaaaa-9c07-4f10-8f6e-000000000001"));
  EXPECT_TRUE(store.find("aaaaaaaa-9c07-4f10-8f6e-000000000001"));
}

TEST(DomainStore, SaysWhatLibvirtSaysInOneLineAndPrintsNothing) {
  testing::internal::CaptureStderr();
  DomainStore store(mock);
  const auto error = error_of([&] { store.define("<domain type='test'><nonsense/></domain>"); });
  EXPECT_THAT(error, HasSubstr("libvirt rejected the domain XML: "));
  EXPECT_THAT(error, Not(HasSubstr("\n")));
  EXPECT_THAT(error_of([&] { store.inactive_xml(Uuid{}); }), HasSubstr("Domain not found"));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(DomainStore, SaysWhyADomainDoesNotStart) {
  DomainStore store(mock);
  EXPECT_THAT(error_of([&] { store.start(store.find("test")->uuid); }),
              HasSubstr("internal error: Domain 'test' is already running"));
}

TEST(DomainStore, SaysWhatToDoWhenThereIsNoDaemon) {
  const auto error = error_of([] { DomainStore("qemu+unix:///system?socket=/nonexistent"); });
  EXPECT_THAT(error,
              HasSubstr("cannot connect to libvirt at qemu+unix:///system?socket=/nonexistent"));
  EXPECT_THAT(error, HasSubstr("systemctl start libvirtd"));
}

}  // namespace
}  // namespace gpuward
