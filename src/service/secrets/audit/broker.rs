//! All audit devices of a node: a record goes to each, and is recorded when the first has written it.
//!
//! A device that blocks holds up nobody but those who wait for a record that no other device writes, and those no longer
//! than the wait that was set; what it does not take in time stays in its buffer and is written when it can be, so that a
//! request that was refused for it may be found in the audit later.
//!
//! Never says that a record was written that was not, and never drops one silently: it is written, or somebody is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use thiserror::Error;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::chain::{Chain, Head, hasher};
use super::device::{Settings, Target};
use super::entry::Entry;
use super::queue::{Job, Queue, Refusal, Work};
use super::render::{RenderError, Style};
use super::writer::{Opening, Progress, Writer};
use crate::base::clock;
use crate::base::limits::MAXIMUM_AUDIT_DEVICES;
use crate::service::secrets::barrier::hashed::KeyedHash;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::memory::Key;

/// Why a request was not recorded, and must not be served.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Each device failed, or its buffer is full.
    #[error("no audit device has written the record of this request; see the state of the audit devices")]
    Failed,
    /// None has written it in time.
    #[error("no audit device has written the record of this request within {0:?}")]
    Late(Duration),
    /// It cannot be written at all.
    #[error("{0}")]
    Render(#[from] RenderError),
}

impl From<RecordError> for Fault {
    fn from(error: RecordError) -> Self {
        Self::Internal(error.to_string())
    }
}

/// Whether a device works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Working,
    /// It has taken nothing for longer than a request waits.
    Blocked,
    /// The last record was not written, and why.
    Failing(String),
}

/// The state of a device, for health and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The name of the device.
    pub name: String,
    /// Whether it works.
    pub health: Health,
    /// Records that it has written since it was enabled here, those of its own not counted.
    pub written: u64,
    /// Records that it failed to write.
    pub failed: u64,
    /// Records that it did not take, because its buffer was full.
    pub refused: u64,
    /// Records in its buffer.
    pub buffered_records: usize,
    /// Bytes of those.
    pub buffered_bytes: usize,
    /// The last record that it wrote; none: it has written none.
    pub head: Option<Head>,
}

struct Device {
    settings: Settings,
    style: Style,
    queue: Arc<Queue>,
    progress: Arc<Mutex<Progress>>,
}

impl Drop for Device {
    fn drop(&mut self) {
        self.queue.close();
    }
}

type Answers = UnboundedReceiver<Result<(), String>>;
type Answer = UnboundedSender<Result<(), String>>;

/// All devices of a node.
pub struct Broker {
    node: String,
    /// How long a record may take.
    pub(super) wait: Duration,
    devices: RwLock<BTreeMap<String, Arc<Device>>>,
}

impl Broker {
    /// No device. `node` is the id of this member, which every record bears; `wait` is how long a record may take.
    #[must_use]
    pub fn new(node: &str, wait: Duration) -> Self {
        Self {
            node: node.to_owned(),
            wait,
            devices: RwLock::default(),
        }
    }

    /// Enables a device that somebody asks for, if it can be written to: its first record is.
    ///
    /// # Errors
    /// There is one of that name or for the same file, there are too many, or it cannot be written to.
    pub async fn enable(&self, settings: Settings, hash_key: &Key, now: Duration) -> Result<(), Fault> {
        let opening = opening(&settings.target);
        self.enable_with(settings, opening, hash_key, now).await
    }

    pub(super) async fn enable_with(
        &self,
        settings: Settings,
        opening: Opening,
        hash_key: &Key,
        now: Duration,
    ) -> Result<(), Fault> {
        check(&self.devices.read(), &settings)?;
        let name = settings.name.clone();
        let device = self.spawn(settings, opening, hash_key)?;
        let outcome = self.ask(&device, Work::Open, now).await;
        outcome.map_err(|reason| {
            Fault::Invalid(format!(
                "sanity check failed; the audit device {name:?} cannot be written to: {reason}"
            ))
        })?;
        let inserted = {
            let mut devices = self.devices.write();
            let is_free = check(&devices, &device.settings);
            if is_free.is_ok() {
                devices.insert(name, Arc::clone(&device));
            }
            is_free
        };
        if inserted.is_err() {
            // Somebody else was faster; that this one wrote its end is of no matter to the answer.
            let _ = self.ask(&device, Work::End, now).await;
        }
        inserted
    }

    /// Enables a device that was enabled before, whether it can be written to or not: where it cannot, it fails, and with it
    /// the requests that no other device records.
    ///
    /// # Errors
    /// There is one of that name or for the same file, there are too many, or it has no thread.
    pub fn restore(&self, settings: Settings, hash_key: &Key, now: Duration) -> Result<(), Fault> {
        let mut devices = self.devices.write();
        check(&devices, &settings)?;
        let name = settings.name.clone();
        let opening = opening(&settings.target);
        let device = self.spawn(settings, opening, hash_key)?;
        let (answer, _) = unbounded_channel();
        // A new queue is open.
        let _ = device.queue.put(job(Work::Open, now, answer));
        devices.insert(name, device);
        Ok(())
    }

    fn spawn(&self, settings: Settings, opening: Opening, hash_key: &Key) -> Result<Arc<Device>, Fault> {
        if settings.is_raw {
            tracing::warn!(
                device = %settings.name,
                "the audit device shows secrets as they are (log_raw): guard what it writes like the secrets themselves"
            );
        }
        let name = settings.name.clone();
        let queue = Arc::new(Queue::default());
        let progress = Arc::new(Mutex::default());
        let writer = Writer {
            chain: Chain::new(clock::random_bytes(), &self.node, &name, hasher(hash_key, &name)),
            node: self.node.clone(),
            prefix: settings.prefix.clone(),
            is_synced: settings.is_synced,
            opening,
            queue: Arc::clone(&queue),
            progress: Arc::clone(&progress),
            sink: None,
            retry: None,
            name,
        };
        let thread = thread::Builder::new().name("audit".to_owned());
        let spawned = thread.spawn(move || writer.run());
        spawned.map_err(|error| Fault::Internal(format!("the audit device has no thread: {error}")))?;
        Ok(Arc::new(Device {
            style: settings.style(hash_key),
            settings,
            queue,
            progress,
        }))
    }

    /// Asks a device for something, and waits.
    async fn ask(&self, device: &Device, work: Work, now: Duration) -> Result<(), String> {
        let (answer, mut answers) = unbounded_channel();
        if device.queue.put(job(work, now, answer)).is_err() {
            return Err("it was disabled".to_owned());
        }
        match timeout(self.wait, answers.recv()).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Err("it has stopped".to_owned()),
            Err(_) => Err(format!("it does not answer within {:?}", self.wait)),
        }
    }

    /// The settings of a device; none: there is none of that name.
    pub fn settings(&self, name: &str) -> Option<Settings> {
        self.devices
            .read()
            .get(name)
            .map(|device| device.settings.clone())
    }

    /// Disables a device, which writes what is in its buffer and that nothing follows. Whether there was one.
    pub async fn disable(&self, name: &str, now: Duration) -> bool {
        let removed = self.devices.write().remove(name.trim_end_matches('/'));
        let Some(device) = removed else {
            return false;
        };
        if let Err(reason) = self.ask(&device, Work::End, now).await {
            tracing::warn!(device = %name, %reason, "the audit device was disabled without an end");
        }
        device.queue.close();
        true
    }

    /// Disables all, when the store is sealed or the node stops.
    pub async fn close(&self, now: Duration) {
        let names: Vec<String> = self.devices.read().keys().cloned().collect();
        for name in names {
            self.disable(&name, now).await;
        }
    }

    /// Opens the files of all devices again, after they were moved away. What cannot be opened is written to as before; those
    /// are told by name, and why.
    pub async fn reopen(&self, now: Duration) -> Vec<(String, String)> {
        let mut failed = Vec::new();
        for device in self.all() {
            if matches!(device.settings.target, Target::File { .. })
                && let Err(reason) = self.ask(&device, Work::Open, now).await
            {
                tracing::error!(device = %device.settings.name, %reason, "the audit file cannot be opened again");
                failed.push((device.settings.name.clone(), reason));
            }
        }
        failed
    }

    /// Records a request or an answer: returns when the first device has written it. With no device it is recorded nowhere.
    ///
    /// What is hashed is hashed here, on the caller's time.
    ///
    /// # Errors
    /// No device has written it: the request must not be served, the answer must not leave.
    pub async fn record(&self, entry: &Entry<'_>) -> Result<(), RecordError> {
        loop {
            let devices = self.all();
            if devices.is_empty() {
                return Ok(());
            }
            // Where each was disabled just now, others, or none, are asked.
            if let Some(answers) = offer(&devices, entry)? {
                drop(devices);
                return self.first(answers).await;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits for the first device that has written.
    async fn first(&self, mut answers: Answers) -> Result<(), RecordError> {
        let written = async {
            while let Some(answer) = answers.recv().await {
                if answer.is_ok() {
                    return true;
                }
            }
            false
        };
        match timeout(self.wait, written).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(RecordError::Failed),
            Err(_) => Err(RecordError::Late(self.wait)),
        }
    }

    /// The keyed hash by which a device shows a text; none: there is no such device.
    #[must_use]
    pub fn hash(&self, name: &str, text: &str) -> Option<KeyedHash> {
        let devices = self.devices.read();
        let device = devices.get(name.trim_end_matches('/'))?;
        Some(device.style.hasher.hash(text.as_bytes()))
    }

    /// The state of each device.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        self.all().iter().map(|device| self.status_of(device)).collect()
    }

    /// Whether requests can be recorded: a device works, or there is none.
    #[must_use]
    pub fn can_record(&self) -> bool {
        let status = self.status();
        status.is_empty() || status.iter().any(|device| device.health == Health::Working)
    }

    fn status_of(&self, device: &Device) -> Status {
        let load = device.queue.load();
        let progress = device.progress.lock().clone();
        Status {
            name: device.settings.name.clone(),
            health: match progress.failure {
                _ if load.age > self.wait => Health::Blocked,
                Some(reason) => Health::Failing(reason),
                None => Health::Working,
            },
            written: progress.written,
            failed: progress.failed,
            refused: progress.refused,
            buffered_records: load.records,
            buffered_bytes: load.bytes,
            head: progress.head,
        }
    }

    fn all(&self) -> Vec<Arc<Device>> {
        self.devices.read().values().cloned().collect()
    }
}

/// Gives an entry to each device; none: each has stopped.
fn offer(devices: &[Arc<Device>], entry: &Entry<'_>) -> Result<Option<Answers>, RecordError> {
    let (answer, answers) = unbounded_channel();
    let mut is_stopped = true;
    let mut unwritable = None;
    for device in devices {
        let object = match device.style.render(entry) {
            Ok(object) => object,
            Err(error) => {
                device.progress.lock().failed += 1;
                is_stopped = false;
                unwritable = Some(error);
                continue;
            }
        };
        match device
            .queue
            .put(job(Work::Record(object), entry.time, answer.clone()))
        {
            Ok(()) => is_stopped = false,
            Err(Refusal::Closed) => {}
            Err(Refusal::Full) => {
                is_stopped = false;
                device.progress.lock().refused += 1;
            }
        }
    }
    match unwritable {
        Some(error) if devices.len() == 1 => Err(error.into()),
        _ => Ok((!is_stopped).then_some(answers)),
    }
}

fn job(work: Work, time: Duration, answer: Answer) -> Job {
    Job { work, time, answer }
}

fn opening(target: &Target) -> Opening {
    let target = target.clone();
    Box::new(move || target.open())
}

fn check(devices: &BTreeMap<String, Arc<Device>>, settings: &Settings) -> Result<(), Fault> {
    if devices.contains_key(&settings.name) {
        return Err(Fault::Invalid("path already in use".to_owned()));
    }
    if devices.len() >= MAXIMUM_AUDIT_DEVICES {
        return Err(Fault::Invalid(format!(
            "there are {MAXIMUM_AUDIT_DEVICES} audit devices, which is the most; disable one first"
        )));
    }
    let file = |settings: &Settings| match &settings.target {
        Target::File { steps, .. } => Some(steps.clone()),
        _ => None,
    };
    let wanted = file(settings);
    let other = devices
        .values()
        .find(|device| wanted.is_some() && file(&device.settings) == wanted);
    match other {
        Some(other) => Err(Fault::Invalid(format!(
            "the audit device {:?} writes to the same file; name another",
            other.settings.name
        ))),
        None => Ok(()),
    }
}
