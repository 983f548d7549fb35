//! The half of the conversation with the runner that every Rust program here shares: say once, as a line of JSON,
//! what can be timed; then answer each line "case runs" with the milliseconds of CPU time, over all threads, that each
//! of those runs took: what all parties computed, whatever else the machine was doing.

use std::io::stdin;

/// One thing that can be timed. `run` does it once, with all its parties.
pub struct Case {
    pub operation: &'static str,
    pub scheme: &'static str,
    pub protocol: &'static str,
    pub threshold: u16,
    pub parties: u16,
    pub signers: u16,
    pub run: Box<dyn Fn()>,
}

/// Answers until the input ends.
pub fn serve(cases: Vec<Case>) {
    let offer: Vec<String> = cases.iter().map(json).collect();
    println!(r#"{{"cases":[{}]}}"#, offer.join(","));
    for line in stdin().lines() {
        let line = line.expect("the runner writes text");
        let (case, runs) = line.split_once(' ').expect("a case and a number of runs");
        let case = &cases[case.parse::<usize>().expect("a case's number")];
        let runs = runs.parse::<usize>().expect("a number of runs");
        let times: Vec<f64> = (0..runs).map(|_| milliseconds(&case.run)).collect();
        println!(r#"{{"milliseconds":{times:?}}}"#);
    }
}

fn milliseconds(run: &dyn Fn()) -> f64 {
    let before = computed();
    run();
    computed() - before
}

/// The CPU time of this process, in milliseconds.
fn computed() -> f64 {
    let mut clock = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let done = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut clock) };
    assert_eq!(done, 0, "no clock of CPU time");
    clock.tv_sec as f64 * 1e3 + clock.tv_nsec as f64 / 1e6
}

fn json(case: &Case) -> String {
    format!(
        r#"{{"operation":"{}","scheme":"{}","protocol":"{}","threshold":{},"parties":{},"signers":{}}}"#,
        case.operation, case.scheme, case.protocol, case.threshold, case.parties, case.signers
    )
}
