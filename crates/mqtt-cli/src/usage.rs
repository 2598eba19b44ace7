//! What clap has to say, in one line; and a word on the flags of mosquitto that are not here.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::{Exit, Failure};

/// Flags that `mosquitto_pub` or `mosquitto_sub` has, and why they are not accepted.
const NOT_HERE: [(&[&str], &str); 4] = [
    (
        &["--capath", "--keyform", "--ciphers", "--tls-version", "--psk", "--psk-identity"],
        "TLS is 1.2 or 1.3 with --cafile, --cert and --key in PEM",
    ),
    (&["--tls-engine", "--tls-engine-kpass-sha1"], "the key is read from the file of --key"),
    (&["-A", "-S"], "this version connects to -h and -p from any address"),
    (&["--pretty", "--random-filter"], "pipe the output through a program for that"),
];

/// Prints help and version where they belong, and what was typed wrong as one line.
pub(crate) fn tell(error: &clap::Error) -> ExitCode {
    let exit = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
        _ => Exit::Wrong,
    };
    // Nobody reads it: no reason to complain.
    let _ = match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.print(),
        _ => writeln!(io::stderr(), "mqtt: {}", failure(error)),
    };
    exit.into()
}

/// The failure that a parse error amounts to.
fn failure(error: &clap::Error) -> Failure {
    if let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg)
        && let Some((_, why)) = NOT_HERE.iter().find(|(flags, _)| flags.contains(&flag.as_str()))
    {
        return Failure::wrong(format!("{flag} is not supported: {why}"));
    }
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let line = first.split_whitespace().collect::<Vec<_>>().join(" ");
    Failure::wrong(format!("{line} (try --help)"))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::args::Cli;

    fn refusal(typed: &str) -> String {
        let error = Cli::try_parse_from(typed.split(' ')).expect_err(typed);
        failure(&error).message
    }

    #[test]
    fn the_definition_of_the_flags_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn one_line_names_the_flag() {
        for (typed, expected) in [
            ("mqtt pub -t x", "required arguments were not provided: <--message <MESSAGE>"),
            ("mqtt pub -t x -m a -n", "'--message <MESSAGE>' cannot be used with '--null-message'"),
            ("mqtt pub -t x -m a -q 3", "3 is not in 0..=2"),
            ("mqtt pub -t x -m a -p 0", "--port"),
            ("mqtt sub -t x -k 65536", "--keepalive"),
            ("mqtt sub -t x -C 0", "-C <COUNT>"),
            ("mqtt sub -t x -V 4", "expected mqttv31, mqttv311, mqttv5 or auto"),
            ("mqtt sub -t x --will-payload y", "--will-topic"),
            ("mqtt sub -t x --id a --id-prefix b", "cannot be used with"),
            ("mqtt pub -t x -l --repeat 2", "cannot be used with"),
            ("mqtt sub -t x y", "unexpected argument 'y'"),
            ("mqtt publish", "unrecognized subcommand"),
        ] {
            let message = refusal(typed);
            assert!(message.contains(expected), "{typed}: {message}");
            assert!(!message.contains('\n'));
        }
    }

    #[test]
    fn what_mosquitto_has_and_this_has_not_is_named() {
        assert!(refusal("mqtt pub --capath certs").contains("--cafile"));
        assert!(refusal("mqtt sub -A 127.0.0.1").starts_with("-A is not supported"));
    }
}
