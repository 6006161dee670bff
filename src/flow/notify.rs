//! Tells those whom events concern, through a durable outbox.
