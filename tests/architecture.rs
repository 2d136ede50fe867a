//! The house: what may stand where. A rule that is broken names the line.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::CommandFactory;

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 40);
    found
}

/// The lines outside a file's own tests, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].lines().enumerate().map(|(i, line)| (i + 1, line.trim()))
}

/// A file that the browser's build does not contain, because its module is declared for the server alone.
fn is_server_only(name: &str, all: &[(String, String)]) -> bool {
    if name.starts_with("server/") || name == "main.rs" {
        return true;
    }
    let Some((room, file)) = name.split_once('/') else { return false };
    let module = file.trim_end_matches(".rs");
    let parent = &all.iter().find(|(n, _)| *n == format!("{room}/mod.rs")).unwrap().1;
    ["pub mod", "mod"].iter().any(|how| parent.contains(&format!("#[cfg(feature = \"ssr\")]\n{how} {module};")))
}

#[test]
fn cfg_stands_only_in_lib_types_and_the_rooms_mod_files() {
    for (name, text) in sources() {
        let allowed = ["lib.rs", "types.rs"].contains(&name.as_str()) || name.ends_with("/mod.rs");
        for (number, line) in lines(&text) {
            let cfg = line.contains("cfg(feature") || line.contains("cfg_attr(") || line.contains("cfg!(feature");
            assert!(allowed || !cfg, "src/{name}:{number}: {line}");
        }
    }
}

#[test]
fn sql_stands_only_in_sql_files_and_on_the_server_floor() {
    let starts = ["\"select ", "\"insert into ", "\"update app", "\"delete from ", "\"with recursive ", "\"with "];
    for (name, text) in sources() {
        let allowed = name.ends_with("/sql.rs") || name.starts_with("server/");
        for (number, line) in lines(&text) {
            assert!(allowed || !starts.iter().any(|s| line.to_lowercase().contains(s)), "src/{name}:{number}: {line}");
            assert!(allowed || !line.contains("sqlx::query"), "src/{name}:{number}: {line}");
        }
    }
    for (name, text) in sources().iter().filter(|(name, _)| name.ends_with("/sql.rs")) {
        for (number, line) in lines(text) {
            assert!(
                !line.contains("select *") || line.contains("from path"),
                "src/{name}:{number}: list the columns: {line}"
            );
            assert!(
                !line.contains("AssertSqlSafe") && !line.contains("format!("),
                "src/{name}:{number}: bind it: {line}"
            );
        }
    }
}

#[test]
fn what_reaches_the_browser_names_the_server_only_inside_a_server_functions_body() {
    let all = sources();
    for (name, text) in &all {
        if is_server_only(name, &all) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let inside = line.starts_with("    ");
            let named = line.contains("crate::server") || line.contains("server::{") || line.contains("super::sql");
            assert!(!named || (inside && name.ends_with("/server_fns.rs")), "src/{name}:{}: {line}", number + 1);
        }
    }
}

#[test]
fn no_query_filters_by_the_caller_for_safety() {
    for (name, text) in sources().iter().filter(|(name, _)| name.ends_with("/sql.rs")) {
        for (number, line) in lines(text) {
            assert!(!line.contains("user_id = $"), "src/{name}:{number}: the policy decides who: {line}");
        }
    }
}

#[test]
fn the_browser_hears_nothing_of_org_id() {
    for (name, text) in sources() {
        assert!(name.starts_with("server/") || name.ends_with("/sql.rs") || !text.contains("org_id"), "src/{name}");
    }
}

#[test]
fn only_the_lanes_hand_out_connections() {
    for (name, text) in sources() {
        if [
            "server/lanes.rs",
            "server/pool.rs",
            "server/adopt.rs",
            "server/postgres.rs",
            "server/migrate.rs",
            "server/check.rs",
            "live/hub.rs",
        ]
        .contains(&name.as_str())
        {
            continue;
        }
        for (number, line) in lines(&text) {
            assert!(
                !line.contains("PgPool") && !line.contains("PgConnection::connect") && !line.contains("pool::"),
                "src/{name}:{number}: {line}"
            );
        }
    }
}

#[test]
fn the_example_settings_name_every_variable_and_no_other() {
    let command = moat::server::cli::Cli::command();
    let known: BTreeSet<String> =
        command.get_arguments().filter_map(|a| Some(a.get_env()?.to_string_lossy().into_owned())).collect();
    assert!(known.len() > 15);
    let example = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example")).unwrap();
    let listed: BTreeSet<String> = example
        .lines()
        .map(|line| line.trim_start_matches('#').trim())
        .filter_map(|line| line.split_once('=').map(|(name, _)| name.to_owned()))
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    assert_eq!(known, listed);
    for argument in command.get_arguments().filter(|a| a.get_env().is_some()) {
        assert!(argument.get_help().is_some(), "{} is not documented", argument.get_id());
    }
}
