//! The way of a shard's lines to the gates of their models. Few wait there at a time: a gate serves its queue in order, and a shard with
//! one line shall not stand behind all lines of the others.

use crate::gate::{Entered, Gate, Try};
use domain::{Error, Result};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::Semaphore;

/// Lines of a shard that wait at one gate. They follow on as soon as one has entered.
const AT_A_GATE: usize = 8;

/// One door for each model: a permit is a place in the queue of its gate.
#[derive(Debug, Default)]
pub(crate) struct Doors(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Doors {
    /// Enters the gate of `model` when it is the line's turn, first among those of its shard. Second tries wait for their own few
    /// places.
    pub(crate) async fn enter(&self, gate: &Gate, model: &str, try_: Try) -> Result<Entered> {
        let door = (try_ == Try::First).then(|| self.of(model));
        let _place = match door {
            Some(door) => Some(door.acquire_owned().await.map_err(Error::internal)?),
            None => None,
        };
        gate.enter(try_).await
    }

    fn of(&self, model: &str) -> Arc<Semaphore> {
        let mut doors = self.0.lock();
        if let Some(door) = doors.get(model) {
            return Arc::clone(door);
        }
        let door = Arc::new(Semaphore::new(AT_A_GATE));
        doors.insert(model.to_owned(), Arc::clone(&door));
        door
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Gates;
    use tokio::task::yield_now;

    /// Waits until everything that was spawned has come as far as it can.
    async fn settle() {
        for _ in 0..100 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_line_does_not_stand_behind_all_lines_of_another_shard() {
        let gate = Gates::new(1).of("m");
        let order = Arc::new(Mutex::new(Vec::new()));
        let line = |doors: &Arc<Doors>, name: &'static str| {
            let (doors, gate, order) = (Arc::clone(doors), Arc::clone(&gate), Arc::clone(&order));
            tokio::spawn(async move {
                let _entered = doors.enter(&gate, "m", Try::First).await.unwrap();
                order.lock().push(name);
            })
        };
        let busy = gate.enter(Try::First).await.unwrap();
        let (large, small) = (Arc::default(), Arc::default());
        let mut lines: Vec<_> = (0..50).map(|_| line(&large, "large")).collect();
        settle().await;
        lines.push(line(&small, "small"));
        settle().await;

        drop(busy);
        for line in lines {
            line.await.unwrap();
        }

        let order = order.lock();
        assert_eq!(order.len(), 51);
        assert!(order.iter().position(|name| *name == "small") <= Some(AT_A_GATE), "{order:?}");
    }
}
