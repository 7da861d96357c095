#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tenure::web::wire::read_report(data));
