//! What is written is read, and what is read is written the same way again.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn one(text: &str) -> Term {
    let query = Query::parse(text);
    assert_eq!(query.broken, [], "{text}");
    assert_eq!(query.terms.len(), 1, "{text}: {:?}", query.terms);
    query.terms.into_iter().next().unwrap()
}

#[track_caller]
fn says(text: &str) -> String {
    Query::parse(text).complaint().unwrap_or_else(|| panic!("{text} was read"))
}

#[test]
fn every_token_has_one_way_to_be_written() {
    for (sent, written) in [
        ("status:failed", "status:failed"),
        ("STATUS:Failed,timed_out,failed", "status:failed,timed_out"),
        ("-agent:x", "agent:!x"),
        ("-agent:!x", "agent:x"),
        ("agent:\"two words\",b", "agent:\"two words\",b"),
        ("agent:\"!x\"", "agent:\"!x\""),
        ("version:3,4", "version:3,4"),
        ("since:24h", "since:24h"),
        ("since:1d", "since:24h"),
        ("since:48h", "since:2d"),
        ("since:1h30m", "since:90m"),
        ("since:2026-11-20", "since:2026-11-20T00:00:00Z"),
        ("until:2026-11-20", "until:2026-11-21T00:00:00Z"),
        ("until:2026-11-20T14:15", "until:2026-11-20T14:15:00Z"),
        ("until:2026-11-20T14:15+01:00", "until:2026-11-20T13:15:00Z"),
        ("is:stuck,retrying", "is:stuck,retrying"),
        ("queue:gpu-east", "queue:gpu-east"),
        ("worker:w:1", "worker:w:1"),
        ("tool:web_search", "tool:web_search"),
        ("model:openai/gpt-4o", "model:openai/gpt-4o"),
        ("error:429", "error:429"),
        ("error:\"connection refused\"", "error:\"connection refused\""),
        ("took:>5m", "took:>5m"),
        ("took:<=500ms", "took:<=500ms"),
        ("tokens:>1000", "tokens:>1000"),
        ("turns:3", "turns:=3"),
        ("session:a,b", "session:a,b"),
        ("key:\"a,b\"", "key:\"a,b\""),
        ("01A1FCFA-538f-71c9-afdc-37c6bf8c69cf", "id:01a1fcfa-538f-71c9-afdc-37c6bf8c69cf"),
        ("refund", "refund"),
        ("-refund", "-refund"),
        ("text:refund", "refund"),
        ("\"a:b\"", "\"a:b\""),
        ("it's", "it's"),
        ("<137>", "<137>"),
        ("\"-x\"", "\"-x\""),
        ("a\"b", "\"a\\\"b\""),
        ("-", "\"-\""),
    ] {
        assert_eq!(one(sent).text(), written, "{sent}");
        assert_eq!(one(written), one(sent), "{written}");
    }
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    for (sent, named) in [
        ("status:gone", "timed_out"),
        ("is:sleeping", "stuck, retrying, live, ended"),
        ("foo:bar", "there is no filter 'foo'; there are status, agent"),
        ("https://example.org", "put it in quotes"),
        ("status:", "needs a value"),
        ("status:failed,", "needs a value"),
        ("agent:\"\"", "needs a value"),
        ("version:0", "numbers from 1"),
        ("version:x", "'x'"),
        ("since:yesterday", "2026-11-20"),
        ("since:99999999999999999999d", "is no time"),
        ("since:2026-13-40", "is no time"),
        ("since:+12026-01-01", "is no time"),
        ("took:5m", "took:>5m"),
        ("took:>", "took:>5m"),
        ("took:>5 m", "took:>5m"),
        ("tokens:>many", "'many' is no number"),
        ("turns:>-1", "is no number"),
        ("id:7", "no execution's id"),
        ("\"open", "not closed"),
        ("agent:\"open since:1h", "not closed"),
        ("\"\"", "nothing between the quotes"),
    ] {
        assert!(says(sent).contains(named), "{sent}: {}", says(sent));
    }
}

#[test]
fn a_broken_token_does_not_lose_the_others() {
    let query = Query::parse("status:gone agent:x  since:24h \"open status:failed");
    assert_eq!(query.terms.len(), 2);
    assert_eq!(query.broken.len(), 2);
    assert_eq!(query.text(), "agent:x since:24h status:gone \"open status:failed");
    assert_eq!(Query::parse(&query.text()), query);
}

#[test]
fn a_query_has_bounds() {
    assert!(says(&"x".repeat(LONGEST + 1)).contains("at most 2000"));
    let many: Vec<_> = (0..=TOKENS).map(|n| format!("w{n}")).collect();
    assert!(says(&many.join(" ")).contains("at most 40 parts"));
    assert_eq!(Query::parse("  \t\n ").text(), "");
}

#[test]
fn a_condition_takes_the_place_of_the_one_before() {
    let query = Query::parse("status:failed agent:!x");
    assert_eq!(query.with(Condition::Status(vec![Status::Running])).text(), "agent:!x status:running");
    assert_eq!(
        query.with(Condition::Agent(vec!["y z".into()])).text(),
        "status:failed agent:!x agent:\"y z\""
    );
    assert_eq!(
        (query.without(0).text(), query.without_all("agent").text()),
        ("agent:!x".into(), query.text())
    );
}

proptest! {
    #[test]
    fn any_text_is_read_and_written_to_the_same(text in "[ -~é\u{0}\u{2028}]{0,60}") {
        let query = Query::parse(&text);
        prop_assert_eq!(Query::parse(&query.text()), query);
    }

    #[test]
    fn any_tokens_are_read_and_written_to_the_same(tokens in prop::collection::vec(
        ("-?", "(status|agent|since|is|error|took|tokens|text|id|x)?", ":?!?", "(failed|>5m|24h|stuck|\"a b\"|,|[a-z\"\\\\,: -]{0,8})"), 0..8)
    ) {
        let text: Vec<_> = tokens.into_iter().map(|(a, b, c, d)| format!("{a}{b}{c}{d}")).collect();
        let query = Query::parse(&text.join(" "));
        prop_assert_eq!(Query::parse(&query.text()), query);
    }

    #[test]
    fn any_name_can_be_asked_for(name in "\\PC{1,20}") {
        prop_assume!(!name.chars().all(char::is_whitespace));
        let query = Query::default().with(Condition::Agent(vec![name.clone()])).with(Condition::Word(name));
        let again = Query::parse(&query.text());
        prop_assert_eq!(&again.broken, &[]);
        prop_assert_eq!(again, query);
    }
}
