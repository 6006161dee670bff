//! XML documents as JSON values, so that one kind of path leads through both.
//!
//! An element is an object: attributes are `@name`, text is `#text`, children are
//! lists under their names. `<a x="1"><b>t</b></a>` is
//! `{"a": {"@x": "1", "b": [{"#text": "t"}]}}`.

use std::ops::Range;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde_json::{Map, Value};

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 64;

/// Finds the XML document in text that may have lines before and after it.
///
/// A document that is cut off, too deep or not well formed is none.
pub fn find_document(text: &str) -> Option<(Value, Range<usize>)> {
    let start = begin(text)?;
    let mut reader = Reader::from_str(&text[start..]);
    let mut open: Vec<Element> = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) if open.len() < MAX_DEPTH => open.push(Element::new(&tag)?),
            Event::Empty(tag) if !open.is_empty() => open.last_mut()?.add(Element::new(&tag)?),
            Event::Empty(tag) => return Some(root(Element::new(&tag)?, start, &reader)),
            Event::End(_) => {
                let closed = open.pop()?;
                match open.last_mut() {
                    Some(parent) => parent.add(closed),
                    None => return Some(root(closed, start, &reader)),
                }
            }
            Event::Text(text) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text.xml10_content());
                }
            }
            Event::CData(data) => open.last_mut()?.text.push_str(&data.xml10_content()),
            Event::GeneralRef(entity) => open.last_mut()?.text.push(resolve(&entity)?),
            Event::Start(_) | Event::Eof => return None,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

/// Finds the line with which a document begins.
fn begin(text: &str) -> Option<usize> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start_matches('\u{feff}');
        let mut chars = trimmed.chars();
        let opens = chars.next() == Some('<');
        if opens
            && chars
                .next()
                .is_some_and(|c| c.is_alphabetic() || "?!_".contains(c))
        {
            return Some(start + line.len() - trimmed.len());
        }
        start += line.len();
    }
    None
}

/// An element that is still open.
struct Element {
    name: String,
    fields: Map<String, Value>,
    text: String,
}

impl Element {
    fn new(tag: &BytesStart<'_>) -> Option<Self> {
        let mut fields = Map::new();
        for attribute in tag.attributes() {
            let attribute = attribute.ok()?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).ok()?;
            let key = format!("@{}", attribute.key.as_ref());
            fields.insert(key, value.into_owned().into());
        }
        Some(Self {
            name: tag.name().as_ref().to_owned(),
            fields,
            text: String::new(),
        })
    }

    fn add(&mut self, child: Self) {
        let (name, value) = child.close();
        let siblings = self
            .fields
            .entry(name)
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(siblings) = siblings {
            siblings.push(value);
        }
    }

    fn close(mut self) -> (String, Value) {
        let text = self.text.trim();
        if !text.is_empty() {
            self.fields.insert("#text".to_owned(), text.into());
        }
        (self.name, Value::Object(self.fields))
    }
}

fn root(element: Element, start: usize, reader: &Reader<&[u8]>) -> (Value, Range<usize>) {
    let (name, value) = element.close();
    let read = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
    let document = Value::Object(Map::from_iter([(name, value)]));
    (document, start..start.saturating_add(read))
}

/// Returns the character that an entity or a number stands for.
fn resolve(entity: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if let Some(c) = entity.resolve_char_ref().ok()? {
        return Some(c);
    }
    match entity.xml10_content().as_ref() {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_attributes_and_text_become_values() {
        let text = "Report:\n<?xml version=\"1.0\"?>\n<r><f n=\"a &amp; b\">x&lt;y</f><f n='c'/></r>\nbye\n";
        let (value, range) = find_document(text).unwrap();
        let expected = r##"{"r":{"f":[{"#text":"x<y","@n":"a & b"},{"@n":"c"}]}}"##;
        assert_eq!(value.to_string(), expected);
        assert_eq!(&text[range.end..], "\nbye\n");
    }

    #[test]
    fn document_that_is_cut_crossed_or_too_deep_is_none() {
        for text in [
            "<r><f>",
            "<r><f></r></f>",
            "no document",
            "<r a=>",
            "<r>&unknown;</r>",
        ] {
            assert!(find_document(text).is_none(), "{text}");
        }
        assert!(find_document(&"<r>".repeat(100_000)).is_none());
    }
}
