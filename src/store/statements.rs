//! Every statement by the name of its file, inside the binary: for who reads what goes to Postgres and back.

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "sql/"]
struct Files;

/// All statements, each as `("queue/take", text)`.
pub fn statements() -> impl Iterator<Item = (String, String)> {
    Files::iter().filter_map(|path| {
        let name = path.strip_suffix(".sql")?.to_owned();
        let text = String::from_utf8(Files::get(&path)?.data.into_owned()).ok()?;
        Some((name, text))
    })
}
