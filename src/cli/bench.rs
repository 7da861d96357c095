//! `tenure bench`: how near this machine's tenure is to what its Postgres can do.

use super::{
    failure::{Exit, Failure},
    terminal::Terminal,
};
use crate::bench::{self, Error, Options, Report};

/// Measure and report. A goal that is missed is reported, and is no failure.
///
/// # Errors
///
/// Postgres or the server does not start, or a report can't be written.
pub async fn run(options: Options, out: Terminal) -> Result<Exit, Failure> {
    let failed = |error: Error| Failure::new(Exit::Failed, "the benchmark ended early").because(error);
    let report = bench::run(&options, &|line| out.note(line)).await.map_err(failed)?;
    save(&options, &report).map_err(failed)?;
    if out.json {
        out.document(&report.json(), false);
        return Ok(Exit::Ok);
    }
    for (name, value) in &report.about {
        out.say(format!("{name}: {value}"));
    }
    out.say(report.table());
    Ok(Exit::Ok)
}

fn save(options: &Options, report: &Report) -> Result<(), Error> {
    if let Some(directory) = &options.save {
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("bench.json"), format!("{:#}\n", report.json()))?;
        std::fs::write(directory.join("bench.html"), report.page()?)?;
    }
    if let Some(file) = &options.markdown {
        let document = std::fs::read_to_string(file)?;
        std::fs::write(file, bench::into_document(&document, &report.markdown())?)?;
    }
    Ok(())
}
