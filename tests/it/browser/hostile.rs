//! Text from outside stays text: 300 attempts to become markup or script, in every field that a page shows.

use serde_json::{Map, Value, json};

use super::Window;
use crate::harness::{Server, TestDb, agent, eventually, says, script, tools};

/// Attempts of all kinds: tags, attributes, drawings, formulas, Markdown, templates, encodings, control characters.
fn attempts() -> Vec<String> {
    serde_json::from_str(include_str!("hostile.json")).unwrap()
}

/// As part of an address.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02X}"))
}

/// Runs in which every field is hostile.
struct Stage {
    everything: String,
    cancelled: String,
    stuck: String,
    live: String,
    asking: String,
    asked: Vec<String>,
}

impl Stage {
    async fn set(server: &Server, attempts: &[String]) -> Self {
        for attempt in attempts {
            let request = json!({ "agentConfig": agent("echo", &script(&[says(attempt)]), json!([])), "prompt": attempt });
            server.start_with(&request).await;
        }
        let everything = everything(server, attempts).await;
        let tool = &*attempts[26];
        let waits = agent(
            "constructor",
            &script(&[json!({ "calls": [{ "name": tool, "arguments": {} }] })]),
            tools([tool]),
        );
        let cancelled = server.start_run(&waits, &attempts[30]).await;
        let reason = encoded(&attempts.join(" ").chars().take(1500).collect::<String>());
        server.delete(&format!("/api/agent/{cancelled}/cancel?reason={reason}")).await.ok();
        let live = server.start_run(&waits, &attempts[31]).await;
        take(server, tool, &attempts[33]).await;
        let stuck = server.start_run(&waits, &attempts[32]).await;
        let (asking, asked) = asks(server, attempts).await;
        Self { everything, cancelled, stuck, live, asking, asked }
    }
}

/// One run with everything in it, to its end.
async fn everything(server: &Server, attempts: &[String]) -> String {
    let arguments: Map<String, Value> = attempts.iter().map(|a| (a.clone(), json!([a]))).collect();
    let first =
        json!({ "text": attempts.join("\n"), "calls": [{ "name": "lookup", "arguments": arguments }] });
    let unknown = attempts.chunks(100).map(|some| {
        let call = |name: &String| json!({ "name": name, "arguments": name });
        json!({ "text": some.join(" "), "calls": some.iter().map(call).collect::<Vec<_>>() })
    });
    let last = says(&attempts.join("\n\n"));
    let steps: Vec<Value> = std::iter::once(first).chain(unknown).chain([last]).collect();
    let mut hostile = agent("__proto__", &script(&steps), tools(["lookup"]));
    hostile["instructions"] = json!(attempts.join("\n"));
    hostile["tools"][0]["description"] = json!(attempts[0]);
    hostile["metadata"] = json!({ attempts[1].clone(): attempts[2] });
    let request = json!({
        "agentConfig": hostile, "prompt": attempts.join("\n"), "sessionId": attempts[3],
        "idempotencyKey": attempts[4], "context": arguments,
    });
    let id = server.start_with(&request).await;
    server.register("lookup", &json!({ "description": attempts[5] })).await;
    let task = take(server, "lookup", &attempts[6]).await;
    let reason = attempts.join(" ");
    let logs: Vec<Value> = attempts.iter().map(|a| json!({ "log": a, "createdTime": 0 })).collect();
    let failed = json!({ "reasonForIncompletion": reason, "workerId": attempts[7], "logs": logs });
    server.report(&task, "FAILED", &failed).await;
    let task = take(server, "lookup", &attempts[8]).await;
    server.complete(&task, &json!({ "result": attempts, "by": arguments })).await;
    server.until(&id, "COMPLETED").await;
    id
}

/// A run that asks people with hostile words, and its questions: one that waits, one that is decided.
async fn asks(server: &Server, attempts: &[String]) -> (String, Vec<String>) {
    let some = &attempts[..30];
    let property = |a: &String| (a.clone(), json!({ "type": "string", "description": a }));
    let tools = json!([
        {
            "name": attempts[40], "description": attempts[41], "toolType": "worker", "approvalRequired": true,
            "inputSchema": { "type": "object", "properties": some.iter().map(property).collect::<Map<_, _>>() },
            "config": { "approval": { "group": attempts[42], "timeoutSeconds": 86400, "onTimeout": "escalate", "escalateTo": attempts[43] } },
        },
        { "name": attempts[44], "description": attempts.join(" "), "toolType": "human" },
    ]);
    let arguments: Map<String, Value> = some.iter().map(|a| (a.clone(), json!(a))).collect();
    let call = |name: &String| json!({ "name": name, "arguments": arguments });
    let model = script(&[
        json!({ "text": attempts[45], "calls": [call(&attempts[40]), call(&attempts[40]), call(&attempts[44])] }),
    ]);
    let run = server.start_run(&agent("hasOwnProperty", &model, tools), &attempts[46]).await;
    let asked = eventually("the run asks", async || {
        let list = server.get(&format!("/api/v1/approvals?execution={run}")).await.ok();
        let ids: Vec<_> =
            list["approvals"].as_array()?.iter().map(|a| a["id"].as_str().unwrap().to_owned()).collect();
        (ids.len() == 3).then_some(ids)
    })
    .await;
    let by: String = attempts[47].chars().take(90).collect();
    let reason: String = attempts[48..70].join(" ").chars().take(1900).collect();
    let what = json!({ "decision": "deny", "by": by, "reason": reason });
    server.post(&format!("/api/v1/approvals/{}/decide", asked[0]), &what).await.ok();
    (run, asked)
}

/// Take a task as a worker with a hostile name.
async fn take(server: &Server, queue: &str, worker: &str) -> Value {
    let path =
        format!("/api/tasks/poll/batch/{}?workerid={}&count=1&timeout=100", encoded(queue), encoded(worker));
    eventually("the hostile worker gets its task", async || {
        server.get(&path).await.ok().as_array().unwrap().first().cloned()
    })
    .await
}

/// What has got through on the page that is open.
async fn harm(window: &Window) -> Vec<String> {
    if let Ok(dialog) = window.driver().get_alert_text().await {
        panic!("a dialog is open: {dialog}");
    }
    let mut found: Vec<String> = window.ask(HARM, &[]).await;
    let complaints = window.complaints().await;
    found.extend(complaints.into_iter().filter(|text| !text.contains("responded with a status of 4")));
    found
}

const HARM: &str = r#"
    const found = [], own = location.origin + '/';
    if ('__hit' in window) found.push('a script ran: ' + window.__hit);
    if (document.contentType == 'text/html' && !document.title.endsWith(' · tenure')) found.push('title: ' + document.title);
    const never = 'iframe,frame,frameset,object,embed,applet,base,style,img,image,picture,video,audio,track,math,' +
        'foreignObject,animate,set,filter,marquee,portal,plaintext,xmp,listing,template,slot,isindex,keygen,map,area,x,x-y';
    for (const e of document.querySelectorAll(never)) found.push('element: ' + e.outerHTML.slice(0, 200));
    for (const e of document.querySelectorAll('meta[http-equiv]')) found.push('element: ' + e.outerHTML);
    for (const e of document.querySelectorAll('script')) if (!e.src.startsWith(own)) found.push('script: ' + e.outerHTML);
    const addresses = ['href', 'xlink:href', 'src', 'srcset', 'action', 'formaction', 'ping', 'poster', 'data', 'background'];
    for (const e of document.querySelectorAll('*')) {
        if (e.getAttributeNames().some(name => /^(on|style$|srcdoc$|autofocus$|hx-|x-|v-)/i.test(name)))
            found.push('attribute: ' + e.cloneNode().outerHTML.slice(0, 200));
        // What a model links to is for people to follow, and tells nobody where they came from.
        const is_link = e.matches('a[href^="https://"][rel~=noopener][rel~=nofollow][rel~=noreferrer]');
        for (const name of addresses) {
            const value = e.getAttribute(name);
            if (value === null || is_link && name == 'href') continue;
            if (!new URL(value, location).href.startsWith(own)) found.push(`leads away: ${name}=${value}`);
        }
    }
    for (const request of performance.getEntriesByType('resource'))
        if (!request.name.startsWith(own)) found.push('request: ' + request.name);
    return found"#;

/// All that can be read: text, and values of fields.
const READ: &str = "
    for (const fold of document.querySelectorAll('details')) fold.open = true;
    return document.body.textContent + [...document.querySelectorAll('input, textarea')].map(e => e.value).join(' ')";

/// Letters and digits only: spaces and control characters may be shown in other ways.
fn bones(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

#[tokio::test]
async fn hostile_text_is_shown_and_does_nothing() {
    let Some(window) = Window::open().await else { return };
    let attempts = attempts();
    assert!(attempts.len() > 300);
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let Stage { everything, cancelled, stuck, live, asking, asked } = Stage::set(&server, &attempts).await;

    let mut next = Some("/executions".to_owned());
    let mut paths = vec![];
    while let Some(path) = next {
        window.go(&format!("{}{path}", server.base())).await;
        next = window.ask("return document.querySelector('[rel=next]')?.getAttribute('href')", &[]).await;
        paths.push(path);
    }
    assert!(paths.len() > 6, "every attempt is on the list: {paths:?}");
    for id in [&everything, &cancelled, &stuck, &live, &asking] {
        for view in ["", "?step=tool-1-0", "?step=tool-1-0&show=tries", "?step=tool-1-0&show=raw"] {
            paths.push(format!("/execution/{id}{view}"));
        }
        for view in ["conversation", "events", "attempts", "state", "payloads", "agent", "logs"] {
            paths.push(format!("/execution/{id}/{view}"));
        }
    }
    paths.push(format!("/execution/{everything}.json"));
    paths.push(format!("/execution/{everything}?step=tool-2-1&fold=0"));
    paths.extend(["/approvals".to_owned(), "/approvals?show=decided".to_owned(), "/queues".to_owned()]);
    paths.extend(asked.iter().map(|id| format!("/approvals/{id}")));
    paths.push(format!("/approvals?tool={}", encoded(&attempts[40])));
    paths.push(format!("/queues?queue={}", encoded(&attempts[26])));
    for some in attempts.chunks(30) {
        let text = encoded(&some.join(" "));
        paths.extend([format!("/executions?q={text}"), format!("/executions?q=x&agent={text}")]);
    }
    for text in attempts.iter().step_by(40).map(|attempt| encoded(attempt)) {
        paths.push(format!("/executions?status={text}"));
        paths.push(format!("/execution/{text}"));
        paths.push(format!("/execution/{everything}?step={text}"));
        paths.push(format!("/queues?queue={text}&span={text}"));
        paths.push(format!("/approvals?tool={text}&agent={text}&group={text}&show={text}"));
        paths.push(format!("/approvals/{text}"));
        paths.push(format!("/{text}"));
    }

    let (mut read, mut found) = (String::new(), vec![]);
    for path in &paths {
        window.go(&format!("{}{path}", server.base())).await;
        found.extend(harm(&window).await.into_iter().map(|harm| format!("{path}: {harm}")));
        read += &bones(&window.ask::<String>(READ, &[]).await);
    }
    assert!(found.is_empty(), "{} harms:\n{}", found.len(), found.join("\n"));
    let lost: Vec<_> = attempts.iter().filter(|attempt| !read.contains(&bones(attempt))).collect();
    assert!(lost.is_empty(), "not to be read on any page: {lost:#?}");
}

#[tokio::test]
async fn hostile_text_that_comes_while_a_page_is_open_does_nothing() {
    let Some(window) = Window::open().await else { return };
    let attempts = attempts();
    let db = TestDb::new().await;
    let server = Server::start(&db).await;
    let tool = &*attempts[27];
    let each: Map<String, Value> = attempts.iter().map(|a| (a.clone(), json!(a))).collect();
    let calls = json!({ "text": attempts.join(" "), "calls": [{ "name": tool, "arguments": each }] });
    let model = script(&[calls.clone(), calls, says(&attempts.join("\n\n"))]);
    let id = server.start_run(&agent("__proto__", &model, tools([tool])), &attempts[28]).await;
    server.register(tool, &json!({})).await;
    let first = take(&server, tool, &attempts[29]).await;

    window.go(&format!("{}/execution/{id}/conversation?raw=1", server.base())).await;
    let script = "const live = document.querySelector('#live'); return !live.hidden && live.textContent == arguments[0]";
    window.comes_to("is live", script, "Live").await;
    server.complete(&first, &json!(each)).await;
    let second = take(&server, tool, &attempts[30]).await;
    let failed = json!({ "reasonForIncompletion": attempts.join(" "), "workerId": attempts[31] });
    server.report(&second, "FAILED_WITH_TERMINAL_ERROR", &failed).await;
    window
        .comes_to(
            "shows the end",
            "return document.querySelector('.pill').textContent == arguments[0]",
            "Completed",
        )
        .await;
    assert_eq!(harm(&window).await, [""; 0]);
    let read = bones(&window.ask::<String>(READ, &[]).await);
    assert!(read.contains(&bones(&attempts[..20].join(""))), "the last message is not shown: {read}");
}
