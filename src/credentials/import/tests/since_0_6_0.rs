//! Files that 0.6.0 opened still open to the same bytes. 0.6.0 recorded fingerprints of the configuration's entries
//! over these bytes, and a different fingerprint would overwrite later changes of callers.

use super::*;
use base64::engine::general_purpose::STANDARD;

const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIICCDCCAa2gAwIBAgIUevxz4vkb+UX2eJCjk2qPFY5Go/IwCgYIKoZIzj0EAwIw
UDEfMB0GCgmSJomT8ixkAQEMD2NvbS5leGFtcGxlLmFwcDEtMCsGA1UEAwwkQXBw
bGUgUHVzaCBTZXJ2aWNlczogY29tLmV4YW1wbGUuYXBwMB4XDTI2MTEyOTA5MDMz
NFoXDTM2MTEyNjA5MDMzNFowUDEfMB0GCgmSJomT8ixkAQEMD2NvbS5leGFtcGxl
LmFwcDEtMCsGA1UEAwwkQXBwbGUgUHVzaCBTZXJ2aWNlczogY29tLmV4YW1wbGUu
YXBwMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEBqux7ZodCpILWtdEcSY7jOPK
yEN7G7f+lBySdPgUVPIIVs7a/zN4O9m8ju/ILGscOtlnmSVzhejaL7h1akj0ZaNl
MGMwHQYDVR0OBBYEFEhThR4+0dTxkGlb11ZELozV37r5MB8GA1UdIwQYMBaAFEhT
hR4+0dTxkGlb11ZELozV37r5MA8GA1UdEwEB/wQFMAMBAf8wEAYKKoZIhvdjZAYD
AQQCBQAwCgYIKoZIzj0EAwIDSQAwRgIhAOQOMdHJ0rF6tYf4qlM8WeaWono3Xwsk
JiXF5VxDaaTNAiEA8auHSrjIn65YOA07YsA4t8MRANA1v3KW9edi8SaFbk0=
-----END CERTIFICATE-----
";
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgreKW0TkKpkw/Inmh
jA0x6d4gL9LE4ZsGSNHn7yJgjw+hRANCAAQGq7Htmh0Kkgta10RxJjuM48rIQ3sb
t/6UHJJ0+BRU8ghWztr/M3g72byO78gsaxw62WeZJXOF6NovuHVqSPRl
-----END PRIVATE KEY-----
";
/// The key above, under the passphrase `word`.
const ENCRYPTED_KEY: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHrMFYGCSqGSIb3DQEFDTBJMCgGCSqGSIb3DQEFDDAbBAiUFXHntKAJjgIBATAM
BggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQDjwRIbp3CbkeTR0/G6AHPwSBkAyi
vUjYZw2irpUQBS1PdlHjwvcUWyrkFGRiXovekbeFyoHSlW4KgfjlL3zqdEKwuNbG
yPqlVSmCxubDvRla1UbJCi8QqlajPG0rMZMeR80OFw2gWNNe+S5ao6wwP2kX/0vC
FXd3YGOPX6SaFvMsEzlJp8MgsJ5FCOzQO6SEMXXr6feEkRvCjMiVW4FqN/yB5Q==
-----END ENCRYPTED PRIVATE KEY-----
";
/// The certificate and the key, under the same passphrase.
const PKCS12: &str = "\
MIIEBAIBAzCCA84GCSqGSIb3DQEHAaCCA78EggO7MIIDtzCCAq4GCSqGSIb3DQEHBqCCAp8wggKbAgEAMIIClAYJKoZIhvcNAQcB
MBsGCiqGSIb3DQEMAQMwDQQIr5b2d4v6FWcCAQGAggJoca2MoHARQXrEHuelv1MunJDCnrUChSwb+1NT+o6ieD1JrYvzdUe88pe9
+bZBl4I4qg8GZTa3A/5Em+knm2ZAmuFPVvkjXv+S08FDMijurY6LoeDjwWkMT6CTgBjeLeb5+xaK7CZc7k7cY5HI63i825A14/1z
4hGrvD5F4mlz9bxaVZwgCaGASJxLs8VwT/mwhldHBdOWutEhjwX5tPJApAV0gz6HslHd3zh0xqZ83c5+lRIbP/wwXvvftk6imODx
6swmNFt9aVbmY5Vi+evnEzi1ah2oXSyDgWzDuuZZDgU/ZF/UQauExDaGw4/gGE6PV/dPu/kZTkHT+FRSBhuZE1qYJ0c4avUDCV8P
P0JrjSMCDQS2s+Ud3+bUVj2SFZbuZxfhrZx/htlndE1Zv5z9xMD1T9O3cKyCjQbMPj8hDWupNBKYheDq0hT42ceWwS98o/7SHV3D
sdIpE9dm5VYh5j9BQYEyixwANwbcHDBILcHDIWqUiuPKquU/2MTbdoMk+Ey2RPOBKSwJcobYSCHlCzzuEH5HsmYzh55kqfL31B28
RBz6ViiTNJIjFZcuxCutxCV6gaeoX9P+yQlD8+gxqZqRbaSYHQZyHm0XBuW/3snuRue2px3fAiDwifXL41HYRZSo77QiaVqI+ii5
+AKXE9xlWL4bb2ujVLo0yoAXVNASzoa/IYwMJkPPznN1xO/619smDXr7rIcP2sVcDGNYktQjm6SJCOA3sR/2Ion9qxko7D4iR3Pw
WBIVVHv5vIQmkmdPyMtQZVD+mbydxUIrAmtlGWIu1YY5z5QzrtbiM/1dqNEuy8A3JjCCAQEGCSqGSIb3DQEHAaCB8wSB8DCB7TCB
6gYLKoZIhvcNAQwKAQKggbMwgbAwGwYKKoZIhvcNAQwBAzANBAhnYbmQGJi3TgIBAQSBkDw62WgH4HFt0YTFARCX/4XEAf311Dgs
QcAyogO6CVQ+GeuE3xoA6N6b1XWOTISAvic4GZ7aExIdkKCBBHAEvEbtWerk2k5p5gfVWKPETJ2ij4qiGiUQWBzY48Sov/59zdbI
Yff893HT5mnz6HRfBcBz6soifwBCyCd0Lh5CafRlLxJ5T2udcZRrdX/+GCUEFDElMCMGCSqGSIb3DQEJFTEWBBRy6L+rOojy3JM+
S3n+AEpwSu0OozAtMCEwCQYFKw4DAhoFAAQUrsm5g6VMs9Ntzr4T3SbzTSf3jF8ECIOpvev2Ye69
";

fn opened(content: &[u8]) -> String {
    let opened = open(Secret::from(content.to_vec()), Some(&"word".into())).expect("it opens");
    String::from_utf8(opened.expose().to_vec()).expect("text")
}

#[test]
fn files_that_0_6_0_opened_open_to_the_same_bytes() {
    let both = format!("{CERTIFICATE}{KEY}");
    let noise = "Bag Attributes\n    localKeyID: 01\n";
    let windows = format!("\u{feff}{noise}{KEY}\u{feff}{CERTIFICATE}").replace('\n', "\r\n");
    let unchanged = [
        both.clone(),
        KEY.to_owned(),
        format!("{CERTIFICATE}{noise}{CERTIFICATE}{KEY}{KEY}"),
        format!("# {CERTIFICATE}{both}"),
        both.replace('\n', "\r\n"),
    ];
    for text in unchanged {
        assert_eq!(opened(text.as_bytes()), text);
    }
    assert_eq!(opened(windows.as_bytes()), windows.replace('\u{feff}', ""));
    assert_eq!(opened(&STANDARD.decode(PKCS12.replace('\n', "")).expect("base64")), both);
    assert_eq!(opened(format!("{noise}{ENCRYPTED_KEY}{CERTIFICATE}").as_bytes()), format!("{KEY}{CERTIFICATE}"));
    assert_eq!(opened(ENCRYPTED_KEY.as_bytes()), KEY);
}
