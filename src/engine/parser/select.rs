//! Paths like `report.files.*.name` into structured output.
//!
//! `*` is every element of a list or every value of an object; a name on a list is
//! that name in each of its elements; `<` is what the value stands in.

use serde_json::Value;

/// A value and what it stands in.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The value.
    pub value: &'a Value,
    parents: Vec<&'a Value>,
}

impl<'a> Found<'a> {
    /// Begins with a whole document.
    pub const fn root(value: &'a Value) -> Self {
        Self {
            value,
            parents: Vec::new(),
        }
    }

    /// Returns what a path leads to from here.
    pub fn select(&self, path: &str) -> Vec<Self> {
        let steps = path.split('.').filter(|step| !step.is_empty());
        steps.fold(vec![self.clone()], |found, step| {
            let next = found.iter().flat_map(|found| found.follow(step));
            next.collect()
        })
    }

    fn follow(&self, step: &str) -> Vec<Self> {
        match (self.value, step) {
            (_, "<") => self.parent().into_iter().collect(),
            (Value::Array(values), "*") => values.iter().map(|value| self.child(value)).collect(),
            (Value::Object(fields), "*") => {
                let values = fields.values();
                values.map(|value| self.child(value)).collect()
            }
            (Value::Array(values), step) => self.element(values, step),
            (Value::Object(fields), step) => {
                let value = fields.get(step);
                value.map(|value| self.child(value)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// One element by its number, or a name in every element.
    fn element(&self, values: &'a [Value], step: &str) -> Vec<Self> {
        if let Ok(index) = step.parse::<usize>() {
            let value = values.get(index);
            return value.map(|value| self.child(value)).into_iter().collect();
        }
        let elements = values.iter().filter(|value| value.is_object());
        elements
            .flat_map(|value| self.child(value).follow(step))
            .collect()
    }

    fn child(&self, value: &'a Value) -> Self {
        let mut parents = self.parents.clone();
        parents.push(self.value);
        Self { value, parents }
    }

    fn parent(&self) -> Option<Self> {
        let (value, parents) = self.parents.split_last()?;
        Some(Self {
            value,
            parents: parents.to_vec(),
        })
    }
}

/// Returns what a path leads to in a document.
pub fn select<'a>(root: &'a Value, path: &str) -> Vec<Found<'a>> {
    Found::root(root).select(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, path: &str, expected: &[&str]) {
        let value: Value = serde_json::from_str(json).unwrap();
        let found = select(&value, path);
        let found: Vec<String> = found.iter().map(|found| found.value.to_string()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn paths_lead_through_objects_and_arrays() {
        check(r#"{"a":{"b":[1,2]}}"#, "a.b.*", &["1", "2"]);
        check(r#"{"a":{"b":[1,2]}}"#, "a.b.1", &["2"]);
        check(r#"{"a":{"x":{"n":1},"y":{"n":2}}}"#, "a.*.n", &["1", "2"]);
        check(r#"{"a":1}"#, "", &[r#"{"a":1}"#]);
        check(r#"{"a":1}"#, "a.b.c", &[]);
    }

    #[test]
    fn name_on_a_list_is_that_name_in_every_element() {
        check(r#"{"a":[{"n":1},{"m":0},{"n":2},3]}"#, "a.n", &["1", "2"]);
    }

    #[test]
    fn steps_lead_back_to_what_a_value_stands_in() {
        check(r#"{"f":"x","a":[{"n":1}]}"#, "a.*.n.<.<.<.f", &[r#""x""#]);
        check(r#"{"f":"x"}"#, "<", &[]);
    }
}
