// SPDX-License-Identifier: LGPL-2.1-or-later
// Stands for the converters of ICU in the hook. Debian's static libxml2 wants them for encodings
// other than UTF-8, and they bring 32 MB of tables into a program that libvirt, which writes UTF-8
// only, starts for every domain. "No such converter" is what ICU says of an encoding it does not
// know. The header gives each name its version suffix (ucnv_open_72).
#include <unicode/ucnv.h>
#include <unicode/ucnv_err.h>

extern "C" {

UConverter* ucnv_open(const char*, UErrorCode* error) {
  *error = U_FILE_ACCESS_ERROR;
  return nullptr;
}

// Without a converter nothing calls these.
void ucnv_close(UConverter*) {}
void ucnv_convertEx(UConverter*, UConverter*, char**, const char*, const char**, const char*,
                    UChar*, UChar**, UChar**, const UChar*, UBool, UBool, UErrorCode* error) {
  *error = U_UNSUPPORTED_ERROR;
}
void ucnv_setFromUCallBack(UConverter*, UConverterFromUCallback, const void*,
                           UConverterFromUCallback*, const void**, UErrorCode*) {}
void ucnv_setToUCallBack(UConverter*, UConverterToUCallback, const void*, UConverterToUCallback*,
                         const void**, UErrorCode*) {}
void UCNV_FROM_U_CALLBACK_STOP(const void*, UConverterFromUnicodeArgs*, const UChar*, int32_t,
                               UChar32, UConverterCallbackReason, UErrorCode*) {}
void UCNV_TO_U_CALLBACK_STOP(const void*, UConverterToUnicodeArgs*, const char*, int32_t,
                             UConverterCallbackReason, UErrorCode*) {}
}
