//! What a model wrote, as HTML: Markdown in which nothing can do any harm.
//!
//! Raw HTML is text, pictures are links that load nothing, links lead to the web or to a mail and nowhere else, headings stay
//! below those of the page. Nesting and length have limits; beyond them the text is shown as it was written.

use std::fmt::{self, Write as _};

use askama::filters::{Html, escape};
use pulldown_cmark::{Alignment, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// Deepest nesting of quotes, lists and the like; what is deeper is shown at this depth.
const DEEPEST: usize = 12;
/// Longest HTML, as a multiple of the text, that is worth its weight on a page.
const GROWTH: usize = 8;
/// HTML of this many bytes is always fine.
const FREE: usize = 4_000;
/// Longest address of a link.
const ADDRESS: usize = 2_000;

/// HTML for `text`; `None` when there would be too much of it.
pub fn html(text: &str) -> Option<String> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut out = Capped { html: String::new(), most: FREE.max(text.len() * GROWTH) };
    html::write_html_fmt(&mut out, Tame::new(Parser::new_ext(text, options))).ok()?;
    Some(out.html)
}

/// HTML that fails when it grows too long.
struct Capped {
    html: String,
    most: usize,
}

impl fmt::Write for Capped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.html.len() + text.len() > self.most {
            return Err(fmt::Error);
        }
        self.html.push_str(text);
        Ok(())
    }
}

/// Events with everything dangerous turned into text.
struct Tame<I> {
    events: I,
    depth: usize,
    /// Starts that were left out, whose ends must be left out, too: by depth.
    skipped: Vec<bool>,
    /// What an open link or picture ends with.
    links: Vec<&'static str>,
}

impl<'a, I: Iterator<Item = Event<'a>>> Tame<I> {
    fn new(events: I) -> Self {
        Self { events, depth: 0, skipped: vec![], links: vec![] }
    }

    fn start(&mut self, tag: Tag<'a>) -> Option<Event<'a>> {
        let link = match &tag {
            Tag::Link { dest_url, .. } => Some((dest_url, "")),
            Tag::Image { dest_url, .. } => Some((dest_url, "picture: ")),
            _ => None,
        };
        if let Some((address, before)) = link {
            let (open, close) = match web_address(address) {
                Some(address) => (opening(address, before), "</a>"),
                None => (format!("{before}<span>"), "</span>"),
            };
            self.links.push(close);
            return Some(Event::InlineHtml(open.into()));
        }
        self.depth += 1;
        let too_deep = self.depth > DEEPEST && can_be_left_out(&tag);
        self.skipped.push(too_deep);
        if too_deep {
            return None;
        }
        Some(Event::Start(match tag {
            Tag::Heading { level, .. } => {
                Tag::Heading { level: lower(level), id: None, classes: vec![], attrs: vec![] }
            }
            // An alignment would be an inline style.
            Tag::Table(columns) => Tag::Table(vec![Alignment::None; columns.len()]),
            Tag::CodeBlock(_) => Tag::CodeBlock(pulldown_cmark::CodeBlockKind::Indented),
            tag => tag,
        }))
    }

    fn end(&mut self, tag: TagEnd) -> Event<'a> {
        if matches!(tag, TagEnd::Link | TagEnd::Image) {
            let close = self.links.pop().unwrap_or("");
            return Event::InlineHtml(CowStr::Borrowed(close));
        }
        self.depth = self.depth.saturating_sub(1);
        if self.skipped.pop() == Some(true) {
            return Event::SoftBreak;
        }
        Event::End(match tag {
            TagEnd::Heading(level) => TagEnd::Heading(lower(level)),
            tag => tag,
        })
    }
}

impl<'a, I: Iterator<Item = Event<'a>>> Iterator for Tame<I> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        loop {
            let tame = match self.events.next()? {
                // HTML blocks are paragraphs of text.
                Event::Start(Tag::HtmlBlock) => self.start(Tag::Paragraph),
                Event::End(TagEnd::HtmlBlock) => Some(self.end(TagEnd::Paragraph)),
                Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
                Event::Start(tag) => self.start(tag),
                Event::End(tag) => Some(self.end(tag)),
                event => Some(event),
            };
            if tame.is_some() {
                return tame;
            }
        }
    }
}

/// Parts of a table need each other; all other containers can be missing.
fn can_be_left_out(tag: &Tag<'_>) -> bool {
    matches!(
        tag,
        Tag::BlockQuote(_) | Tag::List(_) | Tag::Item | Tag::Emphasis | Tag::Strong | Tag::Strikethrough
    )
}

/// The page has an `h1` and an `h2` above it.
fn lower(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H3,
        HeadingLevel::H2 => HeadingLevel::H4,
        HeadingLevel::H3 => HeadingLevel::H5,
        _ => HeadingLevel::H6,
    }
}

/// An address on the web or of a mail; everything else is no link.
fn web_address(address: &str) -> Option<&str> {
    let plain = !address.chars().any(|c| c.is_control() || c.is_whitespace());
    let known = ["http://", "https://", "mailto:"];
    let is_known = known.iter().any(|k| address.get(..k.len()).is_some_and(|a| a.eq_ignore_ascii_case(k)));
    (plain && is_known && address.len() <= ADDRESS).then_some(address)
}

fn opening(address: &str, before: &str) -> String {
    let mut out = String::from("<a class=\"link\" rel=\"noopener nofollow noreferrer\" href=\"");
    let Ok(address) = escape(address, Html);
    let _ = write!(out, "{address}");
    out.push_str("\">");
    out.push_str(before);
    out
}

/// The only tags that may ever come out, each exactly so; else what is none of them.
#[cfg(any(test, fuzzing))]
pub fn is_tame(html: &str) -> Result<(), String> {
    const TAGS: [&str; 20] = [
        "p",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "li",
        "blockquote",
        "pre",
        "code",
        "em",
        "strong",
        "del",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    ];
    const LINK: &str = "<a class=\"link\" rel=\"noopener nofollow noreferrer\" href=\"";
    let is_known = |rest: &str| {
        let tag = rest.split_inclusive('>').next().unwrap_or(rest);
        let name = tag.trim_start_matches(['<', '/']).trim_end_matches('>');
        let start = tag.strip_prefix("<ol start=\"").and_then(|t| t.strip_suffix("\">"));
        let address = tag.strip_prefix(LINK).and_then(|t| t.strip_suffix("\">"));
        let is_plain = |tags: &[&str]| {
            tags.contains(&name) && [format!("<{name}>"), format!("</{name}>")].iter().any(|t| t == tag)
        };
        is_plain(&TAGS)
            || is_plain(&["span"])
            || ["<br />", "<hr />", "</a>"].contains(&tag)
            || start.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            || address.is_some_and(|a| web_address(a).is_some() && !a.contains(['"', '<']))
    };
    let other = html.match_indices('<').map(|(at, _)| &html[at..]).find(|rest| !is_known(rest));
    other.map_or(Ok(()), |rest| Err(format!("{:?} in {html}", rest.chars().take(60).collect::<String>())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn tame(text: &str) -> String {
        let html = html(text).unwrap_or_default();
        is_tame(&html).unwrap();
        html
    }

    #[test]
    fn what_models_write_is_readable() {
        assert_eq!(tame("# A\n\nb **c** `d`"), "<h3>A</h3>\n<p>b <strong>c</strong> <code>d</code></p>\n");
        assert_eq!(tame("- a\n- b"), "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n");
        assert!(tame("|a|b|\n|-|:-:|\n|1|2|").contains("<th>b</th>"), "no inline style");
        assert!(tame("```js\nlet a = '<b>';\n```").contains("<pre><code>let a = '&lt;b&gt;';"));
    }

    #[test]
    fn html_is_text() {
        for evil in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "a <b onclick=alert(1)>b</b>",
            "<!-- x --><iframe src=//evil>",
            "<div>\n\n<style>*{display:none}</style>\n\n</div>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<svg/onload=alert(1)>",
            "</p></div></main><form action=//evil><input>",
            "<![CDATA[<script>]]>",
            "<?php x ?>",
        ] {
            let html = tame(evil);
            assert!(html.contains("&lt;"), "{evil}: {html}");
        }
    }

    #[test]
    fn links_lead_to_the_web_only() {
        for evil in [
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](java&#10;script:alert(1))",
            "[x](&#106;avascript:alert(1))",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
            "[x](vbscript:x)",
            "[x](file:///etc/passwd)",
            "[x](//evil.example)",
            "[x](/execution/a/cancel)",
            "[x](\u{1}javascript:alert(1))",
            "[x][y]\n\n[y]: javascript:alert(1)",
            "<javascript:alert(1)>",
        ] {
            assert!(!tame(evil).contains("<a"), "{evil}");
        }
        assert!(tame("[x](https://a.example/?b=1&c=2)").contains("href=\"https://a.example/?b=1&#38;c=2\""));
        assert!(tame("<https://a.example>").contains("href=\"https://a.example\""));
        let quoted = tame("[x](<https://a.example/\"onmouseover=alert(1)\">)");
        assert!(!quoted.contains("\"onmouseover"), "{quoted}");
        assert!(tame("[x](https://a.example \"</a><script>\")").contains("<a class=\"link\""));
    }

    #[test]
    fn pictures_are_links_that_load_nothing() {
        let html = tame("![a <b> c](https://evil.example/pixel.png)");
        assert!(
            html.contains("href=\"https://evil.example/pixel.png\">picture: a") && !html.contains("<img"),
            "{html}"
        );
        assert!(!tame("![x](javascript:alert(1))").contains("<a"));
    }

    #[test]
    fn nesting_and_length_have_limits() {
        for deep in
            [">".repeat(5_000) + "x", "- ".repeat(4_000) + "x", "*a **b ".repeat(2_000), "[".repeat(9_000)]
        {
            let html = html(&deep).unwrap_or_default();
            is_tame(&html).unwrap();
            let open = |tag: &str| html.matches(&format!("<{tag}>")).count();
            assert!(open("blockquote") <= DEEPEST && open("ul") <= DEEPEST, "{} quotes", open("blockquote"));
        }
        assert!(html(&"[a](http://b) ".repeat(2_000)).is_some_and(|h| h.len() > 140_000));
        let wide = format!("{}\n{}\n{}", "|a".repeat(2_000), "|-".repeat(2_000), "|a|\n".repeat(4_000));
        assert_eq!(html(&wide), None, "empty cells would outgrow the page");
    }

    proptest! {
        #[test]
        fn any_text_comes_out_tame(text in "[\\[\\]()<>!`*_#|:\\-\\n \"'=&;/a1hjs.]{0,80}") {
            let html = html(&text).unwrap_or_default();
            prop_assert!(is_tame(&html).is_ok(), "{}", html);
        }
    }
}
