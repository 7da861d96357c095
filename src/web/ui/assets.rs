//! The files that pages need, inside the binary. Their address holds their hash, so browsers keep them for ever.

use std::fmt::Write as _;
use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Path;
use rust_embed::RustEmbed;

use crate::web::Problem;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Files;

/// Address of the stylesheet.
pub static CSS: LazyLock<String> = LazyLock::new(|| address("app.css"));
/// Address of the script.
pub static SCRIPT: LazyLock<String> = LazyLock::new(|| address("app.js"));
/// Address of the library that changes a part of a page into another one.
pub static MORPH: LazyLock<String> = LazyLock::new(|| address("vendor/idiomorph.min.js"));
/// Address of the icon of a tab.
pub static MARK: LazyLock<String> = LazyLock::new(|| address("mark.svg"));

fn address(name: &str) -> String {
    format!("/assets/{}/{name}", version(&Files::get(name).expect("static/ holds the files that pages name")))
}

fn version(file: &rust_embed::EmbeddedFile) -> String {
    file.metadata.sha256_hash().iter().take(8).fold(String::new(), |mut version, byte| {
        let _ = write!(version, "{byte:02x}");
        version
    })
}

/// `GET /assets/{version}/{name}`. Another version's address is answered, too, but not kept: during an upgrade the page
/// may come from one server and its files from another.
pub async fn get(path: Path<(String, String)>) -> Result<HttpResponse, Problem> {
    let (wanted, name) = path.into_inner();
    let file = Files::get(&name).ok_or_else(|| Problem::not_found("there is no such file"))?;
    let kind = match name.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let keep = if wanted == version(&file) { "public, max-age=31536000, immutable" } else { "no-cache" };
    Ok(HttpResponse::Ok()
        .content_type(kind)
        .insert_header((header::CACHE_CONTROL, keep))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(file.data.into_owned()))
}
