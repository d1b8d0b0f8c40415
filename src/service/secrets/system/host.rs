//! `sys/host-info`: the machine that this node runs on, as the kernel tells it.
//!
//! Never guesses: what cannot be read is left out, and a warning says so.

use std::fs;

use serde_json::{Map, Value, json};

use crate::service::secrets::engine::Data;
use crate::service::secrets::engine::times::rfc3339;
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::request::Response;
use crate::service::secrets::work::Work;

const BYTES_OF_A_KIBIBYTE: u64 = 1024;

/// Serves `sys/host-info`.
pub fn handle(work: &mut Work) -> Result<Response, SecretsError> {
    let now = work.draft().now();
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let parts: [(&str, Result<Value, String>); 3] = [
        ("host", host(&read)),
        ("memory", read("/proc/meminfo").map(|text| memory(&text))),
        ("cpu", read("/proc/cpuinfo").map(|text| processors(&text))),
    ];
    let mut data = Data::new().with("timestamp", &rfc3339(now))?;
    let mut warnings = Vec::new();
    for (name, part) in parts {
        match part {
            Ok(part) => data = data.with(name, &part)?,
            Err(error) => warnings.push(format!("cannot tell of {name}: {error}")),
        }
    }
    Ok(Response {
        warnings,
        ..Response::data(data)
    })
}

fn host(read: &impl Fn(&str) -> Result<String, String>) -> Result<Value, String> {
    let uptime = read("/proc/uptime")?;
    let seconds = uptime.split('.').next().and_then(|text| text.parse::<u64>().ok());
    Ok(json!({
        "hostname": read("/proc/sys/kernel/hostname")?.trim(),
        "os": std::env::consts::OS,
        "kernelVersion": read("/proc/sys/kernel/osrelease")?.trim(),
        "kernelArch": std::env::consts::ARCH,
        "uptime": seconds,
    }))
}

/// In bytes.
fn memory(text: &str) -> Value {
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        kibibytes.checked_mul(BYTES_OF_A_KIBIBYTE)
    };
    let names = [
        ("total", "MemTotal"),
        ("available", "MemAvailable"),
        ("free", "MemFree"),
        ("cached", "Cached"),
        ("swapTotal", "SwapTotal"),
        ("swapFree", "SwapFree"),
    ];
    let known = names.into_iter().filter_map(|(name, source)| {
        let value = of(&format!("{source}:"))?;
        Some((name.to_owned(), value.into()))
    });
    Value::Object(known.collect())
}

/// One for each processor.
fn processors(text: &str) -> Value {
    let one = |paragraph: &str| {
        let mut shown = Map::new();
        for line in paragraph.lines() {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            match (name.trim(), value.trim()) {
                ("processor", number) => {
                    shown.insert("cpu".to_owned(), number.parse::<u32>().ok().into());
                }
                ("model name", model) => {
                    shown.insert("modelName".to_owned(), model.into());
                }
                _ => {}
            }
        }
        Value::Object(shown)
    };
    let paragraphs = text
        .split("\n\n")
        .filter(|paragraph| paragraph.contains("processor"));
    paragraphs.map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_shown_in_bytes_and_by_processor() {
        let text = "MemTotal:       2048 kB\nMemFree:        1 kB\nCached:         3 kB\nSwapCached: 9 kB\n";
        assert_eq!(
            memory(text),
            json!({"total": 2_097_152, "free": 1024, "cached": 3072})
        );
        let text = "processor\t: 0\nmodel name\t: Fast\n\nprocessor\t: 1\nmodel name\t: Fast\n\n";
        assert_eq!(
            processors(text),
            json!([{"cpu": 0, "modelName": "Fast"}, {"cpu": 1, "modelName": "Fast"}])
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_no_guess() {
        let failed = host(&|path| Err(format!("{path}: none")));
        assert_eq!(failed, Err("/proc/uptime: none".to_owned()));
    }
}
