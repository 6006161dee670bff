//! A worker's orders: refused while it is busy, kept while it is about to be free.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use crate::model::EngineId;
use crate::nightly::desk::{Order, Refusal};

/// Orders of one engine as they come.
#[derive(Debug)]
pub struct Inbox {
    engine: EngineId,
    orders: mpsc::Receiver<Order>,
    late: Option<Order>,
}

/// Whether what a worker does is written down as done; whoever sees that may give the next order.
#[derive(Debug, Default)]
pub struct Closing(AtomicBool);

impl Closing {
    /// Says that it will be written down now, or that something else has begun.
    pub fn set(&self, closing: bool) {
        self.0.store(closing, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Inbox {
    /// Takes the end of the orders' channel.
    pub const fn new(engine: EngineId, orders: mpsc::Receiver<Order>) -> Self {
        Self {
            engine,
            orders,
            late: None,
        }
    }

    /// Returns the next order; nothing once nobody can give any.
    pub async fn next(&mut self) -> Option<Order> {
        match self.late.take() {
            Some(order) => Some(order),
            None => self.orders.recv().await,
        }
    }

    /// Does something during which orders are refused, up to its closing.
    pub async fn meanwhile<T>(&mut self, closing: &Closing, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        closing.set(false);
        loop {
            let free = self.late.is_none();
            tokio::select! {
                biased;
                done = &mut work => return done,
                Some(order) = self.orders.recv(), if free => {
                    if closing.is_set() {
                        self.late = Some(order);
                    } else {
                        let engine = self.engine.clone();
                        order.refuse(Refusal::Busy { engine });
                    }
                }
            }
        }
    }
}
