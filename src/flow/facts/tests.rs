//! Files that were made for these tests, whole, changed, cut off; `tests/fixtures/facts/README.md`
//! says how.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::model::Verification;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/facts/", $name))
    };
}

const PE: &[u8] = fixture!("signed.exe");
const MSI: &[u8] = fixture!("signed.msi");
const MSI_WITH_NAMES: &[u8] = fixture!("signed-dse.msi");
const RPM: &[u8] = fixture!("signed.rpm");
const DEBS: [&[u8]; 3] = [
    fixture!("gzip.deb"),
    fixture!("xz.deb"),
    fixture!("zstd.deb"),
];
const ELF: &[u8] = fixture!("libacme.so");
const JAR: &[u8] = fixture!("app.jar");
/// A moment at which the certificates of the fixtures hold.
const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);

fn authority() -> Roots {
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/facts/ca.pem");
    Roots::load(&[PathBuf::from(ca)])
}

fn facts_of(bytes: &[u8]) -> FileFacts {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    read(&file, &authority(), NOW)
}

fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[track_caller]
fn place(bytes: &[u8], part: &[u8]) -> usize {
    let mut windows = bytes.windows(part.len());
    windows.position(|window| window == part).unwrap()
}

#[track_caller]
fn verification(bytes: &[u8]) -> Verification {
    let facts = facts_of(bytes);
    let problem = facts.problem.clone();
    facts.signer.map(|s| s.verification).ok_or(problem).unwrap()
}

#[track_caller]
fn broken(bytes: &[u8]) {
    let found = verification(bytes);
    assert!(matches!(found, Verification::Broken { .. }), "{found:?}");
}

#[track_caller]
fn says(bytes: &[u8], format: &str, expected: [Option<&str>; 3]) -> FileFacts {
    let facts = facts_of(bytes);
    assert_eq!(facts.problem, None);
    assert_eq!(facts.format.as_deref(), Some(format));
    let said = [&facts.company, &facts.product, &facts.version];
    assert_eq!(said.map(Option::as_deref), expected);
    facts
}

#[test]
fn program_names_product_and_signer() {
    let expected = [Some("Acme Software GmbH"), Some("Acme Writer"), Some("3.2")];
    let facts = says(PE, "pe", expected);
    assert_eq!(facts.original_name.as_deref(), Some("writer.exe"));
    assert_eq!(facts.more["FileVersion"], "3.2.1");
    let signer = facts.signer.unwrap();
    assert_eq!(
        signer.subject,
        "CN=Acme Software GmbH,O=Acme Software GmbH,C=DE"
    );
    assert_eq!(signer.issuer, "CN=Example Root,O=Example Authority");
    assert_eq!(signer.digest, "sha256");
    assert!(signer.signed_at.is_some());
    assert_eq!(signer.verification, Verification::Trusted);
}

#[test]
fn signer_nobody_vouches_for_is_not_trusted() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(PE).unwrap();
    let facts = read(&file, &Roots::default(), NOW);
    let found = facts.signer.unwrap().verification;
    assert!(matches!(found, Verification::Intact { .. }), "{found:?}");
}

#[test]
fn program_changed_anywhere_is_not_signed() {
    let headers = usize::from(PE[0x3c]) + 24;
    // Signing itself changes the check sum, and writes down where the signature is.
    let unsigned = [headers + 64..headers + 68, headers + 144..headers + 152];
    let entry = &PE[headers + 144..headers + 148];
    let end = u32::from_le_bytes(entry.try_into().unwrap()) as usize;
    let roots = authority();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(PE).unwrap();
    for at in 0..end {
        if unsigned.iter().any(|range| range.contains(&at)) {
            continue;
        }
        file.write_all_at(&[PE[at] ^ 0x10], at as u64).unwrap();
        let found = read(&file, &roots, NOW).signer.map(|s| s.verification);
        file.write_all_at(&PE[at..=at], at as u64).unwrap();
        let good = matches!(
            found,
            Some(Verification::Trusted | Verification::Intact { .. })
        );
        assert!(!good, "byte {at}: {found:?}");
    }
    assert_eq!(verification(PE), Verification::Trusted);
}

#[test]
fn program_with_something_behind_its_signature_is_not_signed() {
    broken(&[PE, b"more bytes"].concat());
}

#[test]
fn signature_that_states_another_digest_is_broken() {
    // What Authenticode signs begins with this name; the digest it states comes soon after.
    let at = place(PE, &[43, 6, 1, 4, 1, 130, 55, 2, 1, 15]);
    let digest = at + place(&PE[at..], &[4, 32]) + 2;
    broken(&changed(PE, digest));
}

#[test]
fn program_without_a_section_of_resources_still_has_its_signer() {
    let at = place(PE, b".rsrc\0\0\0");
    // The section's place in memory: now the resources are nowhere.
    let facts = facts_of(&changed(PE, at + 14));
    assert!(facts.problem.unwrap().contains("version information"));
    assert!(facts.signer.is_some());
}

#[test]
fn installer_names_product_and_signer() {
    let expected = [
        Some("Acme Software GmbH"),
        Some("Acme Writer"),
        Some("3.2.1"),
    ];
    for msi in [MSI, MSI_WITH_NAMES] {
        let facts = says(msi, "msi", expected);
        assert_eq!(
            facts.more["ProductCode"],
            "{11111111-2222-3333-4444-555555555555}"
        );
        assert_eq!(facts.signer.unwrap().verification, Verification::Trusted);
    }
}

#[test]
fn installer_changed_in_a_stream_is_not_signed() {
    for msi in [MSI, MSI_WITH_NAMES] {
        broken(&changed(msi, place(msi, b"Acme Writer")));
        broken(&changed(msi, place(msi, b"MSCF") + 60));
    }
}

#[test]
fn installer_with_signed_names_may_not_have_another() {
    let name: Vec<u8> = "SummaryInformation"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let last = place(MSI_WITH_NAMES, &name) + name.len() - 2;
    broken(&changed(MSI_WITH_NAMES, last));
}

#[test]
fn debian_package_says_what_it_is_however_it_is_packed() {
    for deb in DEBS {
        let maker = "Acme Software GmbH <support@acme.example>";
        let expected = [Some(maker), Some("acme-writer"), Some("3.2.1-1")];
        let facts = says(deb, "deb", expected);
        assert_eq!(facts.description.as_deref(), Some("writes letters"));
        assert_eq!(facts.more["Section"], "editors");
    }
}

#[test]
fn rpm_package_says_which_key_signed_it() {
    let expected = [
        Some("Acme Software GmbH"),
        Some("acme-writer"),
        Some("3.2.1-1"),
    ];
    let facts = says(RPM, "rpm", expected);
    let signer = facts.signer.unwrap();
    let id = include_str!("../../../tests/fixtures/facts/rpm.keyid").trim();
    assert_eq!(signer.serial, id);
    let found = signer.verification;
    assert!(matches!(found, Verification::Unchecked { .. }), "{found:?}");
}

#[test]
fn changed_rpm_package_is_not_signed() {
    broken(&changed(RPM, RPM.len() - 20));
    broken(&changed(RPM, place(RPM, b"Writes letters")));
}

#[test]
fn library_has_its_build_id_its_name_and_its_compiler() {
    let facts = says(ELF, "elf", [None; 3]);
    assert_eq!(facts.original_name.as_deref(), Some("libacme.so.3"));
    assert_eq!(facts.more["build-id"].len(), 40);
    assert!(facts.more["compiler"].starts_with("GCC: "));
}

#[test]
fn archive_for_java_says_what_its_manifest_says() {
    let maker = "Acme Software Gesellschaft mit beschränkter Haftung";
    let expected = [Some(maker), Some("Acme Writer"), Some("3.2.1")];
    let facts = says(JAR, "jar", expected);
    assert_eq!(facts.more["Main-Class"], "example.acme.Writer");
}

#[test]
fn text_in_a_file_steers_nothing() {
    let facts = FileFacts {
        product: Some(" a\u{1b}[2J\u{202e}b\0 ".to_owned()),
        company: Some(" \0".to_owned()),
        description: Some("x".repeat(100_000)),
        ..FileFacts::default()
    };
    let facts = text::harmless(facts);
    assert_eq!(facts.product.as_deref(), Some("a\u{fffd}[2J\u{fffd}b"));
    assert_eq!(facts.company, None);
    assert_eq!(facts.description.map(|text| text.len()), Some(512));
}

#[test]
fn file_that_is_nothing_special_says_nothing() {
    assert_eq!(facts_of(b"hello"), FileFacts::default());
    assert_eq!(facts_of(b""), FileFacts::default());
}

fn any_fixture() -> impl Strategy<Value = &'static [u8]> {
    let fixtures = [PE, MSI, MSI_WITH_NAMES, RPM, ELF, JAR];
    prop::sample::select([&fixtures[..], &DEBS[..]].concat())
}

/// Reads hostile bytes; that it returns is what is tested, and that no reader gave up in panic.
fn survives(bytes: &[u8]) {
    let facts = facts_of(bytes);
    let problem = facts.problem.unwrap_or_default();
    assert!(!problem.contains("no reader expected"), "{problem}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn fixture_cut_off_anywhere_is_survived(bytes in any_fixture(), share in 0.0..1.0f64) {
        survives(&bytes[..(bytes.len() as f64 * share) as usize]);
    }

    #[test]
    fn fixture_with_changed_bytes_is_survived(
        bytes in any_fixture(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut bytes = bytes.to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        survives(&bytes);
    }

    #[test]
    fn random_bytes_behind_a_known_beginning_are_survived(
        fixture in any_fixture(),
        kept in 1..600usize,
        noise in prop::collection::vec(any::<u8>(), 0..4000),
    ) {
        let kept = kept.min(fixture.len());
        survives(&[&fixture[..kept], &noise].concat());
    }
}
