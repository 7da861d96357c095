//! What people type and what stands in addresses, for fuzzing.

use actix_web::test::TestRequest;

use super::execution::address::{Tab, Wanted};
use super::executions::asked::Asked;
use super::executions::query::{LONGEST, Query};
use super::kit::Viewer;
use super::markdown;
use crate::id::ExecutionId;

/// Markdown: nothing but tame tags comes out.
pub fn markdown(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(html) = markdown::html(text) {
        markdown::is_tame(&html).unwrap_or_else(|wild| panic!("{wild}"));
    }
}

/// The words that narrow a list: what was read is written so that it reads the same, and becomes a condition.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let query = Query::parse(text);
    let written = query.text();
    if written.chars().count() <= LONGEST && text.chars().count() <= LONGEST {
        assert_eq!(Query::parse(&written).terms, query.terms, "{written:?} reads otherwise");
    }
    drop((query.filter().sql(), query.complaint()));
}

/// Addresses of the list and of a run: what they say is written so that it says the same.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let viewer = Viewer::of(&TestRequest::with_uri("/executions").to_http_request());
    let read = |query: &str| Asked::read(&serde_urlencoded::from_str(query).ok()?, &viewer).ok();
    if let Some(asked) = read(text) {
        let address = asked.address();
        let again = read(address.trim_start_matches("/executions").trim_start_matches('?'));
        let again = again.expect("an address of ours can be read");
        assert_eq!((again.place, again.limit), (asked.place, asked.limit), "{address}");
        let rows = asked.rows.clone().unwrap_or_default();
        let followed = asked.followed(&rows);
        let again =
            read(followed.trim_start_matches("/executions?")).expect("an address of ours can be read");
        assert_eq!(again.rows, Some(rows), "{followed}");
    }
    if let Ok(wanted) = serde_urlencoded::from_str::<Wanted>(text) {
        let address = wanted.address(ExecutionId::from_u128(0), Tab::Timeline);
        let again = address.split_once('?').map_or("", |(_, query)| query);
        assert_eq!(serde_urlencoded::from_str::<Wanted>(again).ok(), Some(wanted), "{address}");
    }
}
