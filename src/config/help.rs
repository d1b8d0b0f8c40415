//! The help of `stead server`, written from the table of flags.

use std::fmt::Write as _;

use super::flags::{self, Treatment};

/// The help of the server, called by the name it was started with.
#[must_use]
pub fn help(program: &str) -> String {
    let mut text = format!(
        "Runs one node of a cluster.\n\n\
         Usage: {program} [--FLAG=VALUE]...\n\n\
         Each flag can also be given as an environment variable, STEAD_NAME or ETCD_NAME for --name, and so on; the\n\
         command line wins over STEAD_..., which wins over ETCD_.... With --config-file, only the file counts.\n\n\
         Flags:\n"
    );
    for flag in flags::all() {
        if flag.treatment == Treatment::Used {
            let default = if flag.default.is_empty() {
                String::new()
            } else {
                format!(" [{}]", flag.default)
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  --{}{default}\n        {}", flag.name, flag.help);
        }
    }
    text.push_str("  --version\n        Print the version and exit\n  --help\n        Print this and exit\n");
    for (heading, wanted) in [
        ("\nFlags of etcd that are accepted and have no effect:\n", true),
        (
            "\nFlags of etcd that are refused, since their absence would be dangerous:\n",
            false,
        ),
    ] {
        text.push_str(heading);
        text.push_str(&wrapped(flags::all().filter_map(|flag| match flag.treatment {
            Treatment::Ignored(_) if wanted => Some(flag.name),
            Treatment::Refused(_) if !wanted => Some(flag.name),
            _ => None,
        })));
    }
    let _ = write!(
        text,
        "\nEnvironment:\n  \
         STEAD_PEER_DIAL_MAP=advertised:port=dialed:port,...\n        \
         Dial other addresses than the members advertise, where addresses are translated on the way\n\n\
         Examples:\n  \
         # One node with all defaults, data in ./default.etcd\n  \
         {program}\n\n  \
         # The first of three nodes\n  \
         {program} --name=node1 --data-dir=/var/lib/stead \\\n    \
         --listen-client-urls=http://10.0.0.1:2379 --advertise-client-urls=http://10.0.0.1:2379 \\\n    \
         --listen-peer-urls=http://10.0.0.1:2380 --initial-advertise-peer-urls=http://10.0.0.1:2380 \\\n    \
         --initial-cluster=node1=http://10.0.0.1:2380,node2=http://10.0.0.2:2380,node3=http://10.0.0.3:2380\n\n  \
         # From a file with the same names\n  \
         {program} --config-file=/etc/stead.yaml\n"
    );
    text
}

/// Names of flags in lines of at most 100 characters.
fn wrapped<'name>(names: impl Iterator<Item = &'name str>) -> String {
    const MAXIMUM_LINE_CHARACTERS: usize = 100;
    let mut text = String::new();
    let mut line = String::new();
    for name in names {
        if line.len() + name.len() > MAXIMUM_LINE_CHARACTERS {
            text.push_str(&line);
            text.push('\n');
            line.clear();
        }
        line.push_str(if line.is_empty() { "  " } else { " " });
        line.push_str(name);
    }
    text + &line + "\n"
}
