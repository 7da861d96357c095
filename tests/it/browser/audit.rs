//! What axe finds wrong for people who can't see, can't use a mouse, or need strong contrast.

use serde_json::{Value, json};

use super::Window;

const AXE: &str = include_str!("axe.min.js");

const RULES: [&str; 6] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

const RUN: &str = "
    const [rules, done] = arguments;
    axe.run(document, { runOnly: { type: 'tag', values: rules }, resultTypes: ['violations'] }).then(
        found => done(found.violations),
        error => done([{ id: 'axe itself', help: String(error), nodes: [] }]))";

impl Window {
    /// Each fault with the elements that have it, in words.
    pub async fn barriers(&self) -> Vec<String> {
        if !self.ask::<bool>("return 'axe' in window", &[]).await {
            self.driver().execute(AXE, vec![]).await.unwrap();
        }
        let found = self.driver().execute_async(RUN, vec![json!(RULES)]).await.unwrap();
        let found: Vec<Value> = found.convert().unwrap();
        found.iter().map(in_words).collect()
    }
}

fn in_words(fault: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let nodes = fault["nodes"].as_array().unwrap();
    let node = |node: &Value| {
        let why = text(&node["failureSummary"]).replace('\n', " ");
        format!("\n      {} {}\n        {why}", node["target"], text(&node["html"]))
    };
    let some: String = nodes.iter().take(5).map(node).collect();
    format!("axe: {}: {} ({} elements){some}", text(&fault["id"]), text(&fault["help"]), nodes.len())
}
