//! What the address of the list says: all that the page depends on.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use crate::id::ExecutionId;
use crate::store::read::list::Place;
use crate::web::Problem;
use crate::web::ui::kit::{Format, Viewer};

use super::query::{self, Query};

/// Lines of a page, unless it is said.
pub const PAGE: usize = 50;
/// Most lines of a page.
const LONGEST_PAGE: usize = 200;
/// Most lines of an export.
pub const EXPORT: usize = 10_000;

/// As the address has it.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Wanted {
    /// The filter.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub q: String,
    /// More of it, as a person typed it beside what was there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub more: String,
    /// The same as `status:` in the filter.
    #[serde(skip_serializing_if = "String::is_empty")]
    status: String,
    /// The same as `agent:` in the filter.
    #[serde(skip_serializing_if = "String::is_empty")]
    agent: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    before: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    after: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    limit: String,
    /// What an action on several did, as `bulk` writes it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub did: String,
    /// The lines that an open page holds; it follows these.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<String>,
}

/// What is meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The filter.
    pub query: Query,
    /// Where the page begins.
    pub place: Place,
    /// Lines of the page.
    pub limit: usize,
    /// The lines to show whatever happens.
    pub rows: Option<Vec<ExecutionId>>,
}

impl Asked {
    /// The newest page of a filter.
    pub fn of(query: Query) -> Self {
        Self { query, place: Place::Newest, limit: PAGE, rows: None }
    }

    /// What an address means for this viewer.
    ///
    /// # Errors
    ///
    /// 400 when a cursor is no id or the page's length is out of bounds. What is wrong with the filter stays in the query.
    pub fn read(wanted: &Wanted, viewer: &Viewer) -> Result<Self, Problem> {
        let mut query = Query::parse(&format!("{} {}", wanted.q.trim(), wanted.more.trim()));
        for (name, value) in [("status", wanted.status.trim()), ("agent", wanted.agent.trim())] {
            if !value.is_empty() {
                let plain = name == "status" && !value.contains('"');
                let own = if plain { format!("{name}:{value}") } else { query::token(name, value) };
                let own = Query::parse(&own);
                query.terms.extend(own.terms);
                query.broken.extend(own.broken);
            }
        }
        let place = match (cursor("before", &wanted.before)?, cursor("after", &wanted.after)?) {
            (Some(_), Some(_)) => {
                return Err(Problem::new(400, "a page lies before= one execution or after= one, not both"));
            }
            (Some(id), None) => Place::Before(id),
            (None, Some(id)) => Place::After(id),
            (None, None) => Place::Newest,
        };
        let is_export = viewer.format == Format::Csv;
        let limit = limit(&wanted.limit, is_export)?;
        let rows = wanted.rows.as_deref().map(unpacked).transpose()?;
        Ok(Self { query, place, limit, rows })
    }

    /// The address of its page.
    pub fn address(&self) -> String {
        address(&self.wanted())
    }

    /// The same elsewhere in the list.
    pub fn at(&self, place: Place) -> Self {
        Self { place, rows: None, ..self.clone() }
    }

    /// The same list, narrowed otherwise, from its beginning.
    pub fn narrowed(&self, query: Query) -> Self {
        Self { query, limit: self.limit, ..Self::of(Query::default()) }
    }

    /// Where an open page gets what changes of these lines.
    pub fn followed(&self, ids: &[ExecutionId]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.as_u128().to_be_bytes()).collect();
        address(&Wanted { rows: Some(BASE64.encode(bytes)), ..self.wanted() })
    }

    /// The address of an export with this suffix; all of it, as far as one goes.
    pub fn export(&self, suffix: &str, limit: Option<usize>) -> String {
        let wanted = Wanted { limit: limit.map_or_else(String::new, |n| n.to_string()), ..self.wanted() };
        let address = address(&wanted);
        format!("/executions{suffix}{}", &address["/executions".len()..])
    }

    fn wanted(&self) -> Wanted {
        let mut wanted = Wanted { q: self.query.text(), ..Wanted::default() };
        match self.place {
            Place::Newest => {}
            Place::Before(id) => wanted.before = id.to_string(),
            Place::After(id) => wanted.after = id.to_string(),
        }
        if self.limit != PAGE {
            wanted.limit = self.limit.to_string();
        }
        wanted
    }
}

/// The list's address with a query string.
pub fn address(wanted: &Wanted) -> String {
    let query = serde_urlencoded::to_string(wanted).unwrap_or_default();
    if query.is_empty() { "/executions".to_owned() } else { format!("/executions?{query}") }
}

fn cursor(name: &str, text: &str) -> Result<Option<ExecutionId>, Problem> {
    let text = text.trim();
    let broken = || {
        let shown: String = text.chars().take(60).collect();
        Problem::new(400, format!("{name}='{shown}' is no execution's id; begin at /executions again"))
    };
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| broken()) }
}

fn limit(text: &str, is_export: bool) -> Result<usize, Problem> {
    let most = if is_export { EXPORT } else { LONGEST_PAGE };
    match text.trim() {
        "" if is_export => Ok(EXPORT),
        "" => Ok(PAGE),
        text => text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| {
            let shown: String = text.chars().take(30).collect();
            Problem::new(400, format!("limit='{shown}' must be a number from 1 to {most}"))
        }),
    }
}

fn unpacked(text: &str) -> Result<Vec<ExecutionId>, Problem> {
    let broken = || Problem::new(400, "rows= names the lines of an open page; leave it out");
    let bytes = BASE64.decode(text).map_err(|_| broken())?;
    let ids = bytes.chunks(16).map(|b| b.try_into().map(|b| ExecutionId::from_u128(u128::from_be_bytes(b))));
    let ids: Vec<_> = ids.collect::<Result<_, _>>().map_err(|_| broken())?;
    if ids.len() > LONGEST_PAGE { Err(broken()) } else { Ok(ids) }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(query: &str) -> Result<Asked, Problem> {
        let viewer = Viewer::of(&TestRequest::with_uri("/executions").to_http_request());
        Asked::read(&serde_urlencoded::from_str(query).unwrap(), &viewer)
    }

    #[test]
    fn the_address_holds_all_that_was_asked() {
        for query in [
            "",
            "q=status%3Afailed+a%26b%3Dc",
            "q=agent%3A%22a+b%22&before=01a1fcfa-538f-71c9-afdc-37c6bf8c69cf&limit=10",
            "after=01a1fcfa-538f-71c9-afdc-37c6bf8c69cf",
        ] {
            let address = read(query).unwrap().address();
            assert_eq!(address.trim_start_matches("/executions").trim_start_matches('?'), query);
        }
        assert_eq!(
            read("q=a&more=b+c&status=failed&agent=x+y").unwrap().query.text(),
            "a b c status:failed agent:\"x y\""
        );
    }

    #[test]
    fn a_broken_address_says_what_would_be_right() {
        let wrong = |query: &str| read(query).unwrap_err().to_string();
        assert!(
            wrong("before=1").contains("before='1'") && wrong("after=x").contains("begin at /executions")
        );
        for limit in ["0", "-1", "201", "99999999999999999999", "x"] {
            assert!(wrong(&format!("limit={limit}")).contains("from 1 to 200"), "{limit}");
        }
        let id = "01a1fcfa-538f-71c9-afdc-37c6bf8c69cf";
        assert!(wrong(&format!("before={id}&after={id}")).contains("not both"));
        assert!(wrong("rows=!").contains("rows=") && wrong("rows=AAAA").contains("rows="));
    }

    #[test]
    fn an_open_page_names_its_lines() {
        let ids = vec!["01a1fcfa-538f-71c9-afdc-37c6bf8c69cf".parse().unwrap(), ExecutionId::from_u128(7)];
        let followed = read("q=x").unwrap().followed(&ids);
        let again = read(followed.split_once('?').unwrap().1).unwrap();
        assert_eq!((again.rows, again.query.text()), (Some(ids), "x".to_owned()));
    }
}
