//! `describe()`: a job as text.

use std::fmt::Write;

use super::{Node, NodeKind, Topology};

pub(super) fn describe(topology: &Topology) -> String {
    let mut text = format!("Topology: {}\n", topology.application_id);
    for sub_topology in &topology.sub_topologies {
        write_line(&mut text, format_args!("  Sub-topology: {}", sub_topology.id.0));
        for (index, node) in sub_topology.nodes.iter().enumerate() {
            write_node(&mut text, node);
            if let Some(next) = sub_topology.nodes.get(index + 1) {
                write_line(&mut text, format_args!("      --> {}", next.name));
            }
            if index > 0 {
                write_line(&mut text, format_args!("      <-- {}", sub_topology.nodes[index - 1].name));
            }
        }
    }
    text
}

fn write_node(text: &mut String, Node { kind, name, detail }: &Node) {
    let kind = match kind {
        NodeKind::Source => "Source",
        NodeKind::Processor => "Processor",
        NodeKind::Sink => "Sink",
    };
    let detail = if detail.is_empty() { "stores: []" } else { detail };
    write_line(text, format_args!("    {kind}: {name} ({detail})"));
}

fn write_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes any text");
}
