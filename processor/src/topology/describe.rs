//! `describe()`: a job as text.

use std::fmt::Write;

use super::{StepText, Topology};

pub(super) fn describe(topology: &Topology) -> String {
    let mut text = format!("Topology: {}\n", topology.application_id);
    for sub_topology in &topology.sub_topologies {
        write_line(&mut text, format_args!("  Sub-topology: {}", sub_topology.id.0));
        for StepText { kind, name, detail, before, after } in &sub_topology.steps {
            write_line(&mut text, format_args!("    {kind}: {name} ({detail})"));
            if !after.is_empty() {
                write_line(&mut text, format_args!("      --> {after}"));
            }
            if !before.is_empty() {
                write_line(&mut text, format_args!("      <-- {before}"));
            }
        }
    }
    text
}

fn write_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes any text");
}
