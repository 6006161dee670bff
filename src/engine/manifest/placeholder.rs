//! The placeholders of a command line.

use super::check::Problem;

/// How files reach a command: exactly one of these stands in it.
pub const PLACEHOLDERS: [&str; 3] = ["{files}", "{list}", "{dir}"];

/// Finds what is wrong with the placeholders of a command.
pub fn problems(command: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut used = 0;
    for (number, argument) in command.iter().enumerate() {
        let key = format!("run.command.{number}");
        for word in words(argument) {
            if !PLACEHOLDERS.contains(&word) {
                let what = format!("`{word}` is no placeholder");
                problems.push(Problem::new(&key, what, "use {files}, {list} or {dir}"));
            }
        }
        used += PLACEHOLDERS
            .iter()
            .filter(|word| argument.contains(*word))
            .count();
        if argument.contains("{files}") && argument != "{files}" {
            let what = "{files} becomes several arguments";
            problems.push(Problem::new(&key, what, "make it an argument of its own"));
        }
    }
    if used != 1 && !command.is_empty() {
        let what = format!("{used} placeholders tell the engine its files");
        let remedy = "use exactly one of {files}, {list} and {dir}";
        problems.push(Problem::new("run.command", what, remedy));
    }
    let program = command.first();
    if program.is_some_and(|program| program.is_empty() || program.contains('{')) {
        let remedy = "name a program of the image";
        problems.push(Problem::new("run.command.0", "there is no program", remedy));
    }
    problems
}

/// Finds the parts of an argument that look like a placeholder.
pub fn words(argument: &str) -> Vec<&str> {
    let starts = argument.match_indices('{').map(|(start, _)| start);
    let word = |start: usize| {
        let end = argument[start..].find('}')? + start + 1;
        let inside = &argument[start + 1..end - 1];
        let is_word = !inside.is_empty()
            && inside
                .bytes()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        is_word.then(|| &argument[start..end])
    };
    starts.filter_map(word).collect()
}
