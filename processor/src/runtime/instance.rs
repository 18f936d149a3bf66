//! The identity of this process: an id that no other running process has, and that a restart on the same
//! host takes up again.
//!
//! Transactional ids and group instance ids are built from it. Taking up the id of a dead process does two things at
//! once: `InitProducerId` aborts its open transaction, and the group hands its partitions over without waiting for
//! the session timeout (KIP-345).
//!
//! The id is in a file, `instance-N` in the job's directory, and the file is locked while the process lives.
//! The operating system releases the lock when the process dies, however it dies; so a restart finds an unlocked file
//! with an id in it, and a second process on the same host finds the first file locked and takes the next.
//! The id in the file is random, so that the same directory in two containers still gives two ids.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, TryLockError};
use std::hash::BuildHasher;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// The id of this process; other processes cannot take it while this value lives.
#[derive(Debug)]
pub(super) struct Instance {
    id: String,
    /// Held only for its lock.
    _lock: Option<File>,
}

impl Instance {
    /// An id that the user gave. The user has to ensure that no other process has it.
    #[must_use]
    pub(super) fn given(id: &str) -> Self {
        Self { id: id.to_owned(), _lock: None }
    }

    /// Takes up the first id in `directory` whose process is gone, or adds one.
    ///
    /// # Errors
    /// If the directory cannot be created, or a file in it cannot be read, written or locked.
    pub(super) fn take(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        for slot in 0_u32.. {
            let path = directory.join(format!("instance-{slot}"));
            let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
            match file.try_lock() {
                Ok(()) => return Ok(Self { id: read_or_write_id(&mut file)?, _lock: Some(file) }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        unreachable!("there are more slots than processes")
    }

    /// An id for this run alone: a restart has to wait for timeouts before it can go on.
    #[must_use]
    pub(super) fn random() -> Self {
        Self { id: random_id(), _lock: None }
    }

    /// The id; letters and digits unless the user gave it.
    #[must_use]
    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

fn read_or_write_id(file: &mut File) -> io::Result<String> {
    let mut id = String::new();
    // A file that is not text, or was truncated by a full disk, gets a new id.
    let is_readable = file.read_to_string(&mut id).is_ok();
    if is_readable && is_id(&id) {
        return Ok(id);
    }
    let id = random_id();
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(id.as_bytes())?;
    Ok(id)
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// 64 bits from the seeds that the standard library takes from the operating system for its hash maps.
fn random_id() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

const ID_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_live_instances_differ_and_a_restart_takes_the_id_up_again() {
        let directory = std::env::temp_dir().join(format!("waterwheel-instance-{}", random_id()));
        let first = Instance::take(&directory).unwrap();
        let second = Instance::take(&directory).unwrap();
        assert_ne!(first.id(), second.id());

        let id = first.id().to_owned();
        drop(first);
        assert_eq!(Instance::take(&directory).unwrap().id(), id);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_damaged_file_gets_a_new_id() {
        let directory = std::env::temp_dir().join(format!("waterwheel-instance-{}", random_id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("instance-0"), [0xff, 0xfe]).unwrap();
        let instance = Instance::take(&directory).unwrap();
        assert!(is_id(instance.id()));
        fs::remove_dir_all(directory).unwrap();
    }
}
