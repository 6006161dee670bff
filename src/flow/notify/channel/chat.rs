//! What Slack and Teams show: text that cannot become a mention, a link or markup.

use serde_json::{Value, json};

use crate::flow::notify::words::{self, Told};

/// Most events in one message.
const ITEMS: usize = 15;
/// Longest text of one block, in characters; Slack takes 3000.
const CHARS: usize = 2800;

/// Writes a message for an incoming webhook of Slack.
pub fn slack(items: &[Told]) -> Value {
    let title = slack_text(&words::title(items));
    let blocks = items.iter().take(ITEMS).map(|told| {
        let facts = told.facts.iter().map(|(name, value)| {
            let (name, value) = (slack_text(name), slack_text(value));
            format!("\n{name}: {value}")
        });
        let text = format!("*{}*{}", slack_text(&told.text), facts.collect::<String>());
        let text: String = text.chars().take(CHARS).collect();
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } })
    });
    json!({ "text": title, "blocks": blocks.collect::<Vec<_>>() })
}

/// Slack's three characters; what would be markup is kept apart by an invisible one.
fn slack_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars().take(CHARS) {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '*' | '_' | '~' | '`' => safe.extend(['\u{2060}', c, '\u{2060}']),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// Writes an adaptive card for a workflow of Teams.
pub fn teams(items: &[Told]) -> Value {
    let mut body = Vec::new();
    for told in items.iter().take(ITEMS) {
        body.push(json!({
            "type": "TextBlock", "text": teams_text(&told.text), "weight": "Bolder", "wrap": true,
        }));
        let facts = told
            .facts
            .iter()
            .map(|(name, value)| json!({ "title": teams_text(name), "value": teams_text(value) }));
        body.push(json!({ "type": "FactSet", "facts": facts.collect::<Vec<_>>() }));
    }
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard", "version": "1.4", "body": body,
    });
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive", "content": card,
        }],
    })
}

/// Markdown's characters as themselves.
fn teams_text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars().take(CHARS) {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '#' | '!' | '<' | '>' | '{' => {
                safe.extend(['\\', c]);
            }
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<Told> {
        vec![Told {
            text: text.to_owned(),
            facts: vec![("Path".to_owned(), text.to_owned())],
            json: Value::Null,
            rule: String::new(),
            kind: String::new(),
            publisher: None,
            sha256: None,
        }]
    }

    #[test]
    fn nobody_is_mentioned_and_nothing_is_a_link() {
        let hostile = told("<!channel> <https://x|y> *b* [l](https://x)");
        let message = slack(&hostile).to_string();
        assert!(
            !message.contains("<!") && !message.contains("<http"),
            "{message}"
        );
        let card = teams(&hostile)["attachments"][0]["content"]["body"][0]["text"].clone();
        assert!(card.as_str().unwrap().contains(r"\[l\]\("), "{card}");
    }
}
