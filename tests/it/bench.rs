//! `tenure bench` measures with a real server and a real Postgres. What it finds here says nothing about speed.

use std::process::Command;

use serde_json::Value;

#[test]
fn a_quick_benchmark_ends_with_a_report_whose_figures_are_plausible() {
    let directory = tempfile::tempdir().unwrap();
    let document = directory.path().join("performance.md");
    std::fs::write(&document, "above\n<!-- figures -->\nold\n<!-- end of figures -->\nbelow\n").unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_tenure"))
        .args(["bench", "--quick", "--only", "G8,G11", "--json", "--markdown"])
        .arg(&document)
        .arg("--save")
        .arg(directory.path())
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();

    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let figures = report["figures"].as_array().unwrap();
    let of = |scenario: &str| figures.iter().filter(|f| f["scenario"] == scenario).count();
    assert!(of("G8") >= 3 && of("G11") >= 5, "{report:#}");
    for figure in figures {
        assert!(figure["median"].as_f64().is_some_and(|median| median > 0.0), "{figure:#}");
        assert!(!figure["rounds"].as_array().unwrap().is_empty(), "{figure:#}");
    }
    let durability = report["about"]["durability"].as_str().unwrap();
    assert!(durability.starts_with("fsync on, synchronous_commit on"), "{durability}");

    let text = std::fs::read_to_string(&document).unwrap();
    assert!(text.starts_with("above\n") && text.ends_with("below\n") && !text.contains("old"), "{text}");
    assert!(text.contains("| G8 |"), "{text}");
    let page = std::fs::read_to_string(directory.path().join("bench.html")).unwrap();
    assert!(page.contains("<svg class=\"chart\"") && page.contains("G11: "), "no charts");
}

#[test]
fn another_program_is_measured_beside_it_and_one_that_does_nothing_is_named() {
    let bench = |peer: &str| {
        let done = Command::new(env!("CARGO_BIN_EXE_tenure"))
            .args(["bench", "--quick", "--only", "peers", "--json", "--peer", peer])
            .env_remove("DATABASE_URL")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        report["figures"].as_array().unwrap().clone()
    };
    let peer = r#"test "$DATABASE_URL" && echo '{"begin": "a shell"}' && sleep $BENCH_SECONDS && echo '{"steps": 7}'"#;
    let figures = bench(peer);
    let of = |name: &str| {
        figures.iter().find(|f| f["name"] == name).unwrap_or_else(|| panic!("{name}: {figures:#?}"))
    };
    let speed = of("a shell, 64 runs of 21 steps at the same time")["median"].as_f64().unwrap();
    assert!(speed > 0.0 && speed < 10.0, "7 steps in {speed}");
    assert!(of("tenure beside a shell")["median"].as_f64().unwrap() > 1.0);

    let figures = bench("true");
    assert!(figures[0].to_string().contains("`true` said nothing"), "{figures:#?}");
}
