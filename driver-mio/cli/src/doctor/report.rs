//! What the checks found: for people, for programs, and as an exit code. `schema/doctor.json` is made of these types.

use std::collections::BTreeMap;

#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;

use super::super::output::printable;

/// How something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(JsonSchema))]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and could be better; or it is not known.
    Warning,
    /// It does not work.
    Bad,
}

impl Verdict {
    /// Whether there is nothing to be mended. What is not known is no fault.
    pub fn is_fine(self) -> bool {
        self != Self::Bad
    }

    fn word(self) -> console::StyledObject<&'static str> {
        match self {
            Self::Ok => console::style("ok     ").green(),
            Self::Warning => console::style("warning").yellow(),
            Self::Bad => console::style("bad    ").red(),
        }
    }
}

/// One thing that was looked at, of those that a check looks at.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Part {
    /// What: an interface, a name, a tracker.
    pub name: String,
    /// How it is.
    pub verdict: Verdict,
    /// The same in words.
    pub detail: String,
    /// How many seconds it took to answer.
    pub seconds: Option<f64>,
}

impl Part {
    /// A thing, and how it is.
    pub fn new(name: impl Into<String>, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self { name: name.into(), verdict, detail: detail.into(), seconds: None }
    }
}

/// One check.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(deny_unknown_fields))]
pub struct Check {
    /// What was looked at: interfaces, families, names, port, dht, filter, proxy, trackers, clock, disk, limits.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// The same in a sentence.
    pub summary: String,
    /// What helps, where something does.
    pub advice: Option<String>,
    /// What was looked at one by one.
    pub parts: Vec<Part>,
    /// Numbers: bytes, bytes per second, counts; each by its name.
    pub values: BTreeMap<&'static str, u64>,
    /// What the program ends with where this is bad.
    #[serde(skip)]
    pub code: u8,
}

impl Check {
    /// A check; `code` is what the program ends with where it is bad.
    pub fn new(
        check: &'static str,
        code: u8,
        verdict: Verdict,
        summary: impl Into<String>,
    ) -> Self {
        Self {
            check,
            verdict,
            summary: summary.into(),
            advice: None,
            parts: Vec::new(),
            values: BTreeMap::new(),
            code,
        }
    }

    /// With what helps.
    pub fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// With what was looked at one by one.
    pub fn with(self, parts: Vec<Part>) -> Self {
        Self { parts, ..self }
    }

    /// With a number.
    pub fn value(mut self, name: &'static str, value: u64) -> Self {
        self.values.insert(name, value);
        self
    }
}

/// Everything that was found.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(title = "eddyline doctor", deny_unknown_fields))]
pub struct Report {
    /// Whether nothing is bad.
    pub ok: bool,
    /// The checks, in the order in which they are shown.
    pub checks: Vec<Check>,
}

impl Report {
    /// What the program ends with.
    pub fn code(&self) -> u8 {
        self.checks.iter().find(|check| !check.verdict.is_fine()).map_or(0, |check| check.code)
    }

    /// The same for people. What is as it should be is told in a line, and one by one with `-v`.
    pub fn lines(&self, verbose: u8) -> Vec<String> {
        let mut lines = Vec::new();
        for check in &self.checks {
            let (word, what) = (check.verdict.word(), check.check);
            lines.push(format!("{word}  {what}: {}", printable(&check.summary)));
            let told = check.parts.iter();
            for part in told.filter(|part| verbose > 0 || part.verdict != Verdict::Ok) {
                let took = part.seconds.map_or(String::new(), |took| format!(" ({took:.1} s)"));
                let (name, detail) = (printable(&part.name), printable(&part.detail));
                lines.push(format!("           {name}: {detail}{took}"));
            }
            if let Some(advice) = &check.advice {
                lines.push(format!("           {}", printable(advice)));
            }
        }
        let count = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count();
        lines.push(match (count(Verdict::Bad), count(Verdict::Warning)) {
            (0, 0) => "everything is as it should be".to_owned(),
            (0, warnings) => {
                format!("nothing is bad; {warnings} of {} could be better", self.checks.len())
            }
            (bad, _) => format!("{bad} of {} checks found something bad", self.checks.len()),
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of the report, and its schema.

    use std::path::Path;

    use schemars::generate::SchemaSettings;
    use serde_json::Value;

    use super::*;

    fn report(verdicts: &[(u8, Verdict)]) -> Report {
        let checks = verdicts.iter().map(|(code, verdict)| Check::new("x", *code, *verdict, "so"));
        let checks: Vec<Check> = checks.collect();
        Report { ok: checks.iter().all(|check| check.verdict.is_fine()), checks }
    }

    #[test]
    fn the_first_thing_that_is_bad_decides_how_the_program_ends() {
        use Verdict::{Bad, Ok, Warning};
        assert_eq!(report(&[(6, Ok), (17, Warning)]).code(), 0);
        let bad = report(&[(6, Ok), (17, Bad), (6, Bad)]);
        assert!(bad.code() == 17 && !bad.ok);
        assert!(bad.lines(0).last().unwrap().contains("2 of 3"));
    }

    #[test]
    fn what_is_as_it_should_be_is_told_one_by_one_only_where_that_is_asked_for() {
        let parts = vec![
            Part::new("good", Verdict::Ok, "fine"),
            Part { seconds: Some(1.25), ..Part::new("slow\u{1b}[2J", Verdict::Warning, "late") },
        ];
        let check = Check::new("names", 6, Verdict::Warning, "one is late").with(parts);
        let report = Report { ok: true, checks: vec![check.advise("wait")] };
        let (short, long) = (report.lines(0).join("\n"), report.lines(1).join("\n"));
        assert!(!short.contains("good: fine") && long.contains("good: fine"));
        assert!(
            short.contains("late (1.2 s)") && short.contains("wait") && !short.contains('\u{1b}')
        );
    }

    /// To write the file again: `EDDYLINE_WRITE_SCHEMA=1 cargo test -p eddyline-cli --lib schema`.
    #[test]
    fn the_schema_of_the_report_is_that_of_its_types() {
        let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
        let schema = generator.into_root_schema_for::<Report>();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/doctor.json");
        if std::env::var_os("EDDYLINE_WRITE_SCHEMA").is_some() {
            let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
            std::fs::write(&path, text).unwrap();
        }
        let written: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(written, schema.to_value(), "write it again, as is said above");
    }
}
