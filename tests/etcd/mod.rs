//! The same scripts on a real etcd and on Stead, and the same answers.
//!
//! `scripts/` holds a file for each claim; [`script`] describes the format, [`words`] the notation. Each script gets a
//! cluster of its own, so that the revisions in it are exact. `STEAD_SCRIPT=name` runs those whose name contains
//! `name`. `STEAD_UPDATE_SCRIPTS=1` writes what a one-node etcd answers into the files: write the commands of a new
//! script, run that, and read what it recorded.

mod auth;
mod changes;
mod contest;
mod etcdctl;
mod kv;
mod lease;
mod members;
mod protected;
mod script;
mod session;
mod watch;
mod words;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use futures::stream::{self, StreamExt};

use crate::support::{Cluster, Program, Result, TestResult};
use script::{Script, Step};
use session::Session;

/// How many clusters run at a time.
const MAXIMUM_CLUSTERS: usize = 3;

/// The scripts in a folder here whose name was asked for.
fn script_paths(folder: &str) -> Result<Vec<PathBuf>> {
    let wanted = env::var("STEAD_SCRIPT").unwrap_or_default();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/etcd")
        .join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    paths.retain(|path| {
        let is_script = path.extension().is_some_and(|extension| extension == "txt");
        is_script && path.to_string_lossy().contains(&wanted)
    });
    paths.sort();
    assert!(!paths.is_empty(), "no script has this name");
    Ok(paths)
}

/// What etcd 3.5.1 answers to a step.
fn answer_of_etcd(step: &Step) -> &[String] {
    step.difference
        .as_ref()
        .map_or(&step.answer, |difference| &difference.answer)
}

/// What Stead answers to a step.
fn answer_of_stead(step: &Step) -> &[String] {
    &step.answer
}

async fn run(path: &Path, program: &Program, nodes: usize) -> Result<Vec<String>> {
    let script = Script::read(path)?;
    let cluster = Cluster::builder(program.clone()).nodes(nodes).start().await?;
    let is_etcd = matches!(program, Program::Etcd(_));
    let answers = Session::new(&cluster, is_etcd)?.run(&script).await?;
    if is_etcd && nodes == 1 && is_to_be_recorded() {
        fs::write(path, script.with_answers(&answers))?;
        return Ok(Vec::new());
    }
    Ok(differences(&script, &answers, is_etcd))
}

/// Whether what an etcd answers is to be written into the scripts.
fn is_to_be_recorded() -> bool {
    env::var_os("STEAD_UPDATE_SCRIPTS").is_some()
}

/// The steps whose answer is not that of the script.
fn differences(script: &Script, answers: &[Vec<String>], is_etcd: bool) -> Vec<String> {
    let expected = if is_etcd { answer_of_etcd } else { answer_of_stead };
    let differences = script
        .steps()
        .zip(answers)
        .filter(|(step, answer)| expected(step) != answer.as_slice());
    differences
        .map(|(step, answer)| {
            format!(
                "{}:{}\n  {}\n expected\n  {}\n got\n  {}\n",
                script.name,
                step.line,
                step.command.join("\n  "),
                expected(step).join("\n  "),
                answer.join("\n  ")
            )
        })
        .collect()
}

/// Runs every script, each on its own cluster, and shows all differences at once.
async fn every_script_gives_its_answers(program: Program, nodes: usize) -> Result<()> {
    let paths = script_paths("scripts")?;
    let runs = stream::iter(&paths).map(|path| {
        let program = &program;
        async move {
            let differences = run(path, program, nodes).await;
            differences.unwrap_or_else(|error| vec![format!("{}: {error}\n", path.display())])
        }
    });
    let differences: Vec<String> = runs.buffered(MAXIMUM_CLUSTERS).concat().await;
    assert!(
        differences.is_empty(),
        "{} differences on {} with {nodes} nodes\n\n{}",
        differences.len(),
        program.name(),
        differences.join("\n")
    );
    Ok(())
}

#[tokio::test]
async fn one_etcd_gives_the_answers_of_every_script() -> TestResult {
    Ok(every_script_gives_its_answers(Program::etcd()?, 1).await?)
}

#[tokio::test]
async fn any_of_three_etcds_gives_the_answers_of_every_script() -> TestResult {
    Ok(every_script_gives_its_answers(Program::etcd()?, 3).await?)
}

#[tokio::test]
async fn one_stead_gives_the_answers_of_every_script() -> TestResult {
    Ok(every_script_gives_its_answers(Program::stead()?, 1).await?)
}

#[tokio::test]
async fn any_of_three_steads_gives_the_answers_of_every_script() -> TestResult {
    Ok(every_script_gives_its_answers(Program::stead()?, 3).await?)
}
