//! What is done to publishers, vendors and users alike.

use anyhow::Context as _;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::cli::Context;
use crate::cli::client::segment;
use crate::cli::exit::{Exit, UsageError};
use crate::cli::text::{emit, emit_json, table, visible};
use crate::cli::wire::Object;

/// One kind of party: where it is, and what of it is listed.
#[derive(Debug)]
pub struct Kind {
    /// What one is called.
    pub what: &'static str,
    /// Where they are.
    pub path: &'static str,
    /// What is listed of each: heading and attribute.
    pub columns: &'static [(&'static str, &'static str)],
}

impl Kind {
    /// Makes one; the id alone goes to standard output.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn create(
        &self,
        context: &Context,
        order: Map<String, Value>,
    ) -> anyhow::Result<Exit> {
        let client = context.quick_client()?;
        let request = client.request(Method::POST, &client.url(self.path));
        let answer = client.once(request.json(&order)).await;
        let answer = answer.with_context(|| format!("cannot make the {}", self.what))?;
        let made: Object<Value> = serde_json::from_value(answer["data"].clone())
            .map_err(|error| client.garbled(&error.to_string()))?;
        if context.json {
            emit_json(&document(made))?;
        } else {
            emit(&format!("{}\n", visible(&made.id)))?;
        }
        Ok(Exit::Fine)
    }

    /// Lists all there are.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn list(&self, context: &Context) -> anyhow::Result<Exit> {
        let all: Vec<Object<Value>> = context.quick_client()?.list(self.path).await?;
        if context.json {
            let all: Vec<Value> = all.into_iter().map(document).collect();
            emit_json(&json!({ format!("{}s", self.what): all }))?;
            return Ok(Exit::Fine);
        }
        let row = |party: &Object<Value>| {
            let values = self.columns.iter();
            let values = values.map(|(_, name)| cell(name, &party.attributes[*name]));
            std::iter::once(visible(&party.id)).chain(values).collect()
        };
        let rows: Vec<Vec<String>> = all.iter().map(row).collect();
        let head: Vec<_> = std::iter::once("ID")
            .chain(self.columns.iter().map(|(head, _)| *head))
            .collect();
        emit(&table(context.paint, &head, &rows))?;
        Ok(Exit::Fine)
    }

    /// Shows one.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn show(&self, context: &Context, id: &str) -> anyhow::Result<Exit> {
        let client = context.quick_client()?;
        let path = format!("{}/{}", self.path, segment(id));
        let answer: Value = client.get(&path).await?;
        let shown: Object<Value> = serde_json::from_value(answer["data"].clone())
            .map_err(|error| client.garbled(&error.to_string()))?;
        self.print(context, shown)
    }

    /// Changes one; what is not in the order stays.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn edit(
        &self,
        context: &Context,
        id: &str,
        order: Map<String, Value>,
    ) -> anyhow::Result<Exit> {
        if order.is_empty() {
            let message = "nothing is changed: name an option, `--help` shows them";
            return Err(UsageError(message.to_owned()).into());
        }
        let client = context.quick_client()?;
        let url = client.url(&format!("{}/{}", self.path, segment(id)));
        let answer = client.once(client.request(Method::PATCH, &url).json(&order));
        let answer = answer.await;
        let answer = answer.with_context(|| format!("cannot change {} {id}", self.what))?;
        let shown: Object<Value> = serde_json::from_value(answer["data"].clone())
            .map_err(|error| client.garbled(&error.to_string()))?;
        self.print(context, shown)
    }

    /// Removes one.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn remove(&self, context: &Context, id: &str) -> anyhow::Result<Exit> {
        let client = context.quick_client()?;
        let url = client.url(&format!("{}/{}", self.path, segment(id)));
        let answer = client.once(client.request(Method::DELETE, &url)).await;
        let answer = answer.with_context(|| format!("cannot remove {} {id}", self.what))?;
        if context.json {
            emit_json(&answer)?;
        } else {
            emit(&format!("{} {} is removed\n", self.what, visible(id)))?;
        }
        Ok(Exit::Fine)
    }

    fn print(&self, context: &Context, party: Object<Value>) -> anyhow::Result<Exit> {
        if context.json {
            emit_json(&document(party))?;
            return Ok(Exit::Fine);
        }
        let mut text = format!("{:<18} {}\n", self.what, visible(&party.id));
        for (name, value) in party.attributes.as_object().into_iter().flatten() {
            let label = name.replace('_', " ");
            text.push_str(&format!("{:<18} {}\n", visible(&label), cell(name, value)));
        }
        emit(&text)?;
        Ok(Exit::Fine)
    }
}

fn document(party: Object<Value>) -> Value {
    let mut object = party.attributes;
    if let Some(object) = object.as_object_mut() {
        object.insert("id".to_owned(), party.id.into());
    }
    object
}

/// Shows a value: a time as a day, a list with commas.
fn cell(name: &str, value: &Value) -> String {
    if name.ends_with("_date") {
        let at = value.as_i64();
        let at = at.and_then(|at| jiff::Timestamp::from_second(at).ok());
        return at.map_or_else(|| "-".to_owned(), |at| at.strftime("%F").to_string());
    }
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => visible(text),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(|value| cell("", value)).collect();
            values.join(", ")
        }
        value => visible(&value.to_string()),
    }
}
