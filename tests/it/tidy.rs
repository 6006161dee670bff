//! Holds the tree to its own rules: who may import whom, one slug per engine,
//! no unused metric, no path of a build machine.
//!
//! Plain string work over the sources, no parser: a rule that needs more than
//! that is not a rule a reader can check either.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use acquit::config::Config;

/// Which modules of ours a module may name. Whoever is not here may name none.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("config", &["model"]),
    ("metrics", &["model"]),
    ("system", &["model", "config"]),
    ("store", &["model", "config", "metrics"]),
    ("engine", &["model", "config", "metrics", "store", "system"]),
    (
        "flow",
        &["model", "config", "metrics", "system", "store", "engine"],
    ),
    (
        "nightly",
        &[
            "model", "config", "metrics", "system", "store", "engine", "flow",
        ],
    ),
    (
        "http",
        &["model", "config", "metrics", "store", "flow", "nightly"],
    ),
    ("cli", &["model", "config", "engine", "system", "daemon"]),
    (
        "daemon",
        &[
            "model", "config", "metrics", "system", "store", "engine", "flow", "nightly", "http",
        ],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// Crates that only one place may know.
const ONE_DOOR: &[(&str, &[&str])] = &[
    ("bollard", &["src/engine/sandbox"]),
    ("sled", &["src/store"]),
    ("acquit_web", &["src/http.rs"]),
    ("askama", &["web/src", "src/flow/notify"]),
    ("axum", &["src/http", "src/daemon", "web/src"]),
    ("clap", &["src/cli", "src/main.rs"]),
    (
        "reqwest",
        &[
            "src/cli",
            "src/flow/notify",
            "src/flow/dispute",
            "src/http/people",
        ],
    ),
];

/// Longest source file, tests not counted.
const MAX_FILE_LINES: usize = 500;

/// Longest function.
const MAX_FUNCTION_LINES: usize = 80;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a directory, sorted, without build output and hidden ones.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    for entry in entries {
        let path = entry.expect("the entry can be read").path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name = name.expect("an entry has a name");
        if name == ".git" || name.starts_with("target") || name == "__pycache__" {
            continue;
        }
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Path below the root, with slashes.
fn name_of(path: &Path) -> String {
    let below = path.strip_prefix(root()).expect("below the root");
    below.display().to_string()
}

fn rust_sources() -> Vec<(String, String)> {
    let mut paths = files_below(&root().join("src"));
    paths.extend(files_below(&root().join("runner/src")));
    paths.extend(files_below(&root().join("web/src")));
    let rust = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"));
    rust.map(|path| (name_of(&path), read(&path))).collect()
}

/// A source without its inline tests and without comments.
fn code_of(source: &str) -> String {
    let tests = source.find("\n#[cfg(test)]\nmod tests {");
    let code = &source[..tests.unwrap_or(source.len())];
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// First word of a text.
fn word(text: &str) -> &str {
    text.split(|c| !is_word(c)).next().unwrap_or_default()
}

/// Modules of ours that code names, as `crate::x` or within `crate::{…}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| is_word(c) || c == '$') {
            continue;
        }
        let after = &code[at + "crate::".len()..];
        match after.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group)),
            None => drop(found.insert(word(after).to_owned())),
        }
    }
    found
}

/// The first words of a use group's members, up to its closing brace.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut heads) = (0, true, Vec::new());
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            c if start && is_word(c) => {
                heads.push(word(&group[at..]).to_owned());
                start = false;
            }
            _ => {}
        }
    }
    heads
}

/// The top-level module a file belongs to.
fn module_of(name: &str) -> &str {
    word(name.strip_prefix("src/").expect("a source of the daemon"))
}

/// Top-level modules that really exist.
fn modules() -> BTreeSet<String> {
    let lib = read(&root().join("src/lib.rs"));
    let lines = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
    lines.map(|line| word(line).to_owned()).collect()
}

/// Where a crate is named, as `name::`.
fn names_crate(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    code.match_indices(&path).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| is_word(c) || c == ':')
    })
}

/// Functions of a source with their lengths, told by rustfmt's indentation.
fn functions(code: &str) -> Vec<(String, usize)> {
    let (mut found, mut open) = (Vec::new(), None);
    for (number, line) in code.lines().enumerate() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        let head = text.split('(').next().unwrap_or_default();
        if open.is_none()
            && (head.starts_with("fn ") || head.contains(" fn "))
            && text.contains('(')
        {
            open = Some((head.to_owned(), indent, number));
        }
        if let Some((head, at, start)) = &open
            && indent == *at
            && (text.starts_with('}') || text.ends_with(';'))
        {
            found.push((head.clone(), number - start + 1));
            open = None;
        }
    }
    found
}

#[test]
fn imports_are_found_in_paths_and_in_groups() {
    let code = "use crate::model::X;\nuse crate::{engine::{a, b}, store::Y};\nlet z = crate::http::f();\nmy_crate::no();";
    let expected = ["engine", "http", "model", "store"].map(str::to_owned);
    assert_eq!(imports(code), BTreeSet::from(expected));
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let modules = modules();
    for (name, source) in rust_sources() {
        if !name.starts_with("src/") {
            continue;
        }
        let module = module_of(&name);
        let allowed = MAY_IMPORT.iter().find(|(known, _)| *known == module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{module} is not in the import table"));
        for import in imports(&code_of(&source)) {
            let fine = import == module || allowed.contains(&import.as_str());
            assert!(
                fine || !modules.contains(&import),
                "{name} imports {import}"
            );
        }
    }
}

#[test]
fn dangerous_crates_have_one_door() {
    for (name, source) in rust_sources() {
        for (library, doors) in ONE_DOOR {
            let known = doors.iter().any(|door| name.starts_with(door));
            assert!(
                known || !names_crate(&code_of(&source), library),
                "{name} names {library}"
            );
        }
    }
}

#[test]
fn sources_keep_to_size_and_open_with_what_they_are() {
    for (name, source) in rust_sources() {
        assert!(source.starts_with("//!"), "{name} does not open with //!");
        assert!(
            !name.ends_with("/mod.rs"),
            "{name}: this project writes foo.rs beside foo/"
        );
        let tests = source
            .find("\n#[cfg(test)]\nmod tests {")
            .unwrap_or(source.len());
        let lines = source[..tests].lines().count();
        assert!(lines <= MAX_FILE_LINES, "{name} has {lines} lines");
        for (function, lines) in functions(&source[..tests]) {
            assert!(
                lines <= MAX_FUNCTION_LINES,
                "{name}: {function} has {lines} lines"
            );
        }
    }
}

/// What a page must not have: the browser would not run or style it, or text would be markup.
const NOT_IN_PAGES: [(&str, &str); 7] = [
    ("|safe", "markup from a value"),
    ("| safe", "markup from a value"),
    ("escape(\"none\")", "markup from a value"),
    (" style=", "an inline style"),
    ("<style", "an inline style"),
    (" onclick=", "an inline script"),
    ("javascript:", "an inline script"),
];
/// What a script must not use: it makes markup, or code, of text.
const NOT_IN_SCRIPTS: [&str; 6] = [
    "insertAdjacentHTML",
    "outerHTML =",
    "innerHTML =",
    "document.write",
    "eval(",
    "new Function",
];

#[test]
fn pages_show_text_as_text_and_run_nothing_inline() {
    for path in files_below(&root().join("web/templates")) {
        let text = read(&path);
        for (part, what) in NOT_IN_PAGES {
            assert!(!text.contains(part), "{}: {what}", name_of(&path));
        }
        for (at, _) in text.match_indices("<script") {
            let tag = text[at..].split('>').next().unwrap_or_default();
            assert!(tag.contains(" src="), "{}: {tag}>", name_of(&path));
        }
    }
    for path in files_below(&root().join("web/assets")) {
        let text = read(&path);
        for part in NOT_IN_SCRIPTS {
            assert!(!text.contains(part), "{}: {part}", name_of(&path));
        }
        let external = text.contains("https://") || text.contains("url(http");
        assert!(!external, "{}: loads from elsewhere", name_of(&path));
        let is_script = path.extension().is_some_and(|e| e == "js");
        assert!(
            !is_script || text.starts_with("// "),
            "{}: no head",
            name_of(&path)
        );
        assert!(
            text.lines().count() <= MAX_FILE_LINES,
            "{}: too long",
            name_of(&path)
        );
    }
}

#[test]
fn an_engine_has_one_slug_everywhere() {
    let manifests = files_below(&root().join("engines"));
    let ids: BTreeSet<_> = manifests
        .iter()
        .filter_map(|path| engine_id(path))
        .collect();
    assert!(ids.len() >= 8, "only {ids:?} have a manifest");
    for id in &ids {
        let text = read(&root().join(format!("engines/{id}.toml")));
        assert!(
            text.contains(&format!("\nid = \"{id}\""))
                || text.starts_with(&format!("id = \"{id}\"")),
            "engines/{id}.toml has another id"
        );
        let fixtures = root().join("tests/fixtures/engines").join(id);
        assert!(
            fixtures.is_dir(),
            "{id} has no fixtures below tests/fixtures/engines"
        );
        let reference = text.lines().any(|line| line.starts_with("reference = "));
        let outside = text.lines().any(|line| line == "[outside]");
        // Engines of one program may share an image.
        let context = text.lines().find_map(|line| {
            let name = line.strip_prefix("context = \"")?;
            name.strip_suffix('"')
        });
        let context = context.unwrap_or(id);
        let dockerfile = root().join("containers").join(context).join("Dockerfile");
        assert!(
            reference || outside || dockerfile.is_file(),
            "{id} has no containers/{context}/Dockerfile"
        );
    }
}

fn engine_id(path: &Path) -> Option<String> {
    let is_manifest = path
        .extension()
        .is_some_and(|extension| extension == "toml");
    is_manifest.then(|| {
        path.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
    })?
}

#[test]
fn every_metric_is_used() {
    let metrics = read(&root().join("src/metrics.rs"));
    let fields = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("    pub ")?.split_once(": "));
    let sources = rust_sources();
    let others: Vec<_> = sources
        .iter()
        .filter(|(name, _)| name != "src/metrics.rs")
        .collect();
    for (field, _) in fields.filter(|(field, _)| field.chars().all(is_word)) {
        let used = others
            .iter()
            .any(|(_, source)| source.contains(&format!(".{field}")));
        assert!(used, "nobody sets the metric {field}");
    }
}

#[test]
fn shipped_configuration_spells_out_every_default() {
    let text = read(&root().join("config/acquit.toml"));
    let shipped = Config::parse(&text).expect("the shipped configuration is valid");
    assert_eq!(shipped, Config::default());
    let written: toml::Table = text.parse().expect("it is TOML");
    let defaults = toml::Table::try_from(Config::default()).expect("a configuration is a table");
    assert_eq!(
        written, defaults,
        "a default is not spelled out in config/acquit.toml"
    );
}

/// What stands after each `$SOURCE/` in a script.
fn named_sources(script: &str) -> Vec<String> {
    let ends = |c: char| !(is_word(c) || "/.-".contains(c));
    let parts = script
        .split("$SOURCE/")
        .flat_map(|part| part.split("$SOURCE\"/"))
        .skip(1);
    parts
        .map(|part| part.split(ends).next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn scripts_name_only_what_is_there() {
    for script in ["install.sh", "tests/run", "tests/lib/machine.sh"] {
        for named in named_sources(&read(&root().join(script))) {
            let built = named.is_empty() || named.starts_with("target");
            let path = root().join(named.trim_end_matches('.'));
            assert!(
                built || path.exists() || is_prefix(&path),
                "{script} names {named}, which is not there"
            );
        }
    }
}

/// Tells whether a path is the beginning of one, as in `systemd/acquit*`.
fn is_prefix(path: &Path) -> bool {
    let (Some(dir), Some(start)) = (path.parent(), path.file_name()) else {
        return false;
    };
    let start = start.to_string_lossy();
    let entries = fs::read_dir(dir).map(|entries| entries.flatten().collect::<Vec<_>>());
    entries.is_ok_and(|entries| {
        entries
            .iter()
            .any(|e| e.file_name().to_string_lossy().starts_with(&*start))
    })
}

#[test]
fn units_name_only_what_the_installation_makes() {
    const MADE: &[&str] = &[
        "/usr/local/bin/acquit",
        "/usr/local/lib/acquit",
        "/usr/local/share/acquit",
        "/etc/acquit",
        "/var/lib/acquit",
        "/run/acquit",
        "/var/log/acquit",
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/dev/null",
        "/run/systemd",
        "/proc",
        "/sys",
    ];
    for path in files_below(&root().join("systemd")) {
        let unit = read(&path);
        let settings = unit
            .lines()
            .filter(|line| !line.starts_with('#') && !line.starts_with("Documentation="));
        let values = settings
            .filter_map(|line| line.split_once('='))
            .map(|(_, value)| value);
        for word in values.flat_map(str::split_whitespace) {
            let named = word.trim_start_matches(['-', '+', '!', '@']);
            let made = MADE.iter().any(|made| named.starts_with(made));
            assert!(
                made || !named.starts_with('/'),
                "{} names {named}",
                name_of(&path)
            );
        }
    }
}

#[test]
fn no_file_names_a_build_machine_or_holds_the_test_virus() {
    let eicar = [
        r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR",
        "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*",
    ]
    .concat();
    let needles = [
        (["/wo", "rk/"].concat(), "a path of a build machine"),
        (["/ho", "me/runner/"].concat(), "a path of a build machine"),
        (eicar, "the EICAR test file as a whole"),
    ];
    for path in files_below(root()) {
        let bytes = fs::read(&path).expect("the file can be read");
        for (needle, what) in &needles {
            let found = bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes());
            assert!(!found, "{} holds {what}", name_of(&path));
        }
    }
}
