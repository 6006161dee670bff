//! The engines that are free and switched on in the configuration, for real.

use super::samples::{self, documents, programs, scripts};
use super::{check_engine, check_scan};

/// A staged name's extension and a file's bytes.
type Sample = (&'static str, Vec<u8>);

/// What an engine is shown besides what it detects, and the reasons it must give.
struct Blind<'a> {
    encrypted: (Sample, &'a str),
    unsupported: [(Sample, &'a str); 2],
}

#[track_caller]
fn check_all(id: &str, (bad, name): (Sample, &str), clean: Sample, blind: Blind<'_>) {
    check_engine(id, bad, clean, name);
    let (encrypted, reason) = blind.encrypted;
    let expected = format!("type-unsupported {reason}");
    check_scan(id, "encrypted", &[encrypted], &[&expected]);
    let reasons = blind.unsupported.each_ref();
    let reasons = reasons.map(|(_, reason)| format!("type-unsupported {reason}"));
    let samples = blind.unsupported.map(|(sample, _)| sample);
    let expected: Vec<&str> = reasons.iter().map(String::as_str).collect();
    check_scan(id, "unsupported", &samples, &expected);
}

fn program() -> Sample {
    ("", samples::program())
}

fn encrypted_zip() -> Sample {
    ("zip", samples::encrypted_zip())
}

/// What no tool of oletools looks into, and one kind of document that this one does not.
fn not_for_oletools(sample: Sample, reason: &str) -> Blind<'_> {
    let encrypted = ("docx", samples::encrypted_document());
    Blind {
        encrypted: (encrypted, "the document is encrypted"),
        unsupported: [(program(), "not a document"), (sample, reason)],
    }
}

#[test]
fn mraptor_detects() {
    let bad = (("bas", samples::macro_text()), "suspicious MacroRaptor.A");
    let blind = not_for_oletools(("rtf", documents::rtf()), "a document of the kind rtf");
    check_all(
        "oletools-mraptor",
        bad,
        ("docx", samples::document()),
        blind,
    );
}

#[test]
fn olevba_detects() {
    let bad = (
        ("bas", samples::macro_text()),
        "suspicious olevba.AutoOpen.",
    );
    let blind = not_for_oletools(("rtf", documents::rtf()), "a document of the kind rtf");
    let clean = ("bas", documents::harmless_macro());
    check_all("oletools-olevba", bad, clean, blind);
}

#[test]
fn msodde_detects() {
    let bad = (("docx", documents::exchange()), "suspicious msodde.Command");
    let blind = not_for_oletools(("bas", samples::macro_text()), "a document of the kind vba");
    check_all("oletools-msodde", bad, ("docx", samples::document()), blind);
}

#[test]
fn oleid_detects() {
    let bad = (
        ("docx", documents::template()),
        "suspicious oleid.External-Relationships",
    );
    let blind = not_for_oletools(
        ("docx", samples::document()),
        "oleid does not know this kind of document",
    );
    check_all("oletools-oleid", bad, ("docx", documents::word()), blind);
    let others = [
        ("docx", documents::linked()),
        ("bas", samples::macro_text()),
        ("bas", documents::harmless_macro()),
    ];
    let expected = ["undetected", "suspicious oleid.VBA-Macros", "undetected"];
    check_scan("oletools-oleid", "links", &others, &expected);
}

#[test]
fn rtfobj_detects() {
    let bad = (("rtf", documents::equation()), "suspicious rtfobj.Equation");
    let blind = not_for_oletools(
        ("docx", samples::document()),
        "a document of the kind openxml",
    );
    check_all("oletools-rtfobj", bad, ("rtf", documents::rtf()), blind);
}

#[test]
fn oleobj_detects() {
    let bad = (
        ("docx", documents::template()),
        "suspicious oleobj.External.attachedTemplate",
    );
    let blind = not_for_oletools(("rtf", documents::rtf()), "a document of the kind rtf");
    check_all("oletools-oleobj", bad, ("docx", documents::word()), blind);
    let linked = [("docx", documents::linked())];
    check_scan("oletools-oleobj", "links", &linked, &["undetected"]);
}

/// Whole pickles, half ones, and models with both kinds.
fn check_models(id: &str, name: &str, (neither, half): (&str, &str)) {
    let (good, bad) = (samples::pickle(), samples::bad_pickle());
    let blind = Blind {
        encrypted: (encrypted_zip(), "the archive is encrypted"),
        unsupported: [
            (program(), neither),
            (("pkl", good[..good.len() - 4].to_vec()), half),
        ],
    };
    let models = [
        ("pt", samples::zip("archive/data.pkl", &bad)),
        ("pt", samples::zip("archive/data.pkl", &good)),
    ];
    check_all(id, (("pkl", bad), name), ("pkl", good), blind);
    check_scan(id, "archives", &models, &[name, "undetected"]);
}

#[test]
fn fickling_detects() {
    let reasons = (
        "neither a pickle nor",
        "not a pickle that can be read to its end",
    );
    check_models("fickling", "malicious fickling.UnsafeImports", reasons);
}

#[test]
fn modelscan_detects() {
    let reasons = ("no model that modelscan reads", "Parsing error:");
    check_models("modelscan", "malicious ModelScan.posix.", reasons);
}

#[test]
fn quicksand_detects() {
    let bad = (
        ("pdf", documents::exploiting_pdf()),
        "malicious QuickSand.pdf_exploit_",
    );
    let blind = Blind {
        encrypted: (
            ("docx", samples::encrypted_document()),
            "the document is encrypted",
        ),
        unsupported: [
            (program(), "neither a document nor a PDF"),
            (("pdf", samples::pdf("")), "the PDF is damaged"),
        ],
    };
    check_all("quicksand", bad, ("rtf", documents::rtf()), blind);
}

#[test]
fn xlmdeobfuscator_detects() {
    let bad = (
        ("xlsm", documents::calling_workbook()),
        "suspicious XLM.AutoOpen.",
    );
    let clean = ("xlsm", documents::workbook("ALERT(&quot;hi&quot;)", false));
    let blind = Blind {
        encrypted: (
            ("xlsm", documents::workbook("A", true)),
            "the workbook is encrypted",
        ),
        unsupported: [
            (program(), "no workbook of Excel"),
            (("docx", samples::document()), "no workbook of Excel"),
        ],
    };
    check_all("xlmdeobfuscator", bad, clean, blind);
}

#[test]
fn peepdf_detects() {
    let bad = (
        ("pdf", samples::launching_pdf()),
        "suspicious peepdf.LaunchOnOpen",
    );
    let encrypted = ("pdf", samples::pdf("/Encrypt 3 0 R"));
    let blind = Blind {
        encrypted: (encrypted, "the PDF is encrypted"),
        unsupported: [
            (program(), "not a PDF"),
            (
                ("pdf", samples::pdf("")[..60].to_vec()),
                "the PDF is damaged",
            ),
        ],
    };
    check_all("peepdf", bad, ("pdf", samples::pdf("")), blind);
    let exploit = [("pdf", documents::exploiting_pdf())];
    check_scan(
        "peepdf",
        "exploit",
        &exploit,
        &["suspicious peepdf.Collab."],
    );
}

#[test]
fn capa_detects() {
    let bad = (
        ("exe", programs::injector()),
        "suspicious capa.inject-code-into-another-process",
    );
    let blind = Blind {
        encrypted: (encrypted_zip(), "no program for Windows or Linux"),
        unsupported: [
            (program(), "no program that can be read"),
            (cut_program(), "the program is cut off"),
        ],
    };
    check_all("capa", bad, ("exe", programs::harmless()), blind);
    let erase = ["vssadmin delete ", "shadows /all /quiet\0\0"].concat();
    let eraser = programs::windows(&[("KERNEL32.dll", &["WinExec"])], erase.as_bytes());
    let expected = ["suspicious capa.delete-shadow-copies"];
    check_scan("capa", "strings", &[("exe", eraser)], &expected);
}

#[test]
fn pev_detects() {
    let bad = (("exe", programs::packed()), "suspicious pev.Packed");
    let blind = Blind {
        encrypted: (encrypted_zip(), "no program for Windows"),
        unsupported: [
            (program(), "no program for Windows"),
            (cut_program(), "the program is cut off"),
        ],
    };
    check_all("pev", bad, ("exe", programs::harmless()), blind);
}

fn cut_program() -> Sample {
    ("exe", programs::harmless()[..0x300].to_vec())
}

#[test]
fn js_x_ray_detects() {
    let bad = (
        ("js", scripts::command()),
        "suspicious js-x-ray.unsafe-command",
    );
    let blind = Blind {
        encrypted: (encrypted_zip(), "no JavaScript"),
        unsupported: [
            (program(), "no JavaScript"),
            (("bas", samples::macro_text()), "no JavaScript"),
        ],
    };
    check_all("js-x-ray", bad, ("js", scripts::harmless()), blind);
}

#[test]
fn box_js_detects() {
    let bad = (("js", scripts::downloader()), "suspicious box-js.Run");
    let blind = Blind {
        encrypted: (encrypted_zip(), "no script"),
        unsupported: [
            (("js", scripts::command()), "a script for Node.js"),
            (("bas", samples::macro_text()), "no JavaScript"),
        ],
    };
    check_all("boxjs", bad, ("js", scripts::harmless()), blind);
    let endless = [("js", scripts::endless())];
    let expected = ["failure the script does not end within"];
    check_scan("boxjs", "endless", &endless, &expected);
}

#[test]
fn boreal_detects() {
    super::check_rules("boreal");
}
