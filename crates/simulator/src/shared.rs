//! The state that listeners, connections and the control port share: ledger, clock, rules, and the current script.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::channels::Channels;
use super::clock::Clock;
use super::ledger::{Ledger, LedgerMode};
use super::rules::{Settings, TokenState};
use super::script::{ActiveScript, Plan, Script, ScriptError};
use super::tokens::Tokens;

/// Pause after a failed accept: without descriptors left, it would spin otherwise.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// State that connections, the control port and the simulator's owner share.
pub struct Shared {
    pub ledger: Ledger,
    pub clock: Clock,
    pub rules: Settings,
    pub channels: Channels,
    pub connection_window: u32,
    plan: watch::Sender<Plan>,
    connections: AtomicU64,
}

impl Shared {
    pub fn new(ledger: LedgerMode, rules: Settings, connection_window: u32, script: Script) -> Self {
        let plan = Plan { script: Arc::new(ActiveScript::new(script)), tokens: Arc::default(), number: 0 };
        Self {
            ledger: Ledger::new(ledger),
            clock: Clock::default(),
            rules,
            channels: Channels::default(),
            connection_window,
            plan: watch::Sender::new(plan),
            connections: AtomicU64::new(0),
        }
    }

    pub fn set_script(&self, script: Script) -> Result<(), ScriptError> {
        script.check()?;
        let script = Arc::new(ActiveScript::new(script));
        self.plan.send_modify(|plan| (plan.script, plan.number) = (script, plan.number + 1));
        Ok(())
    }

    /// Waits until all these listeners obey the current script.
    pub async fn wait_until_applied(&self, listeners: &[watch::Receiver<u64>]) {
        let wanted = self.plan.borrow().number;
        for listener in listeners {
            // It has stopped if this fails.
            let _ = listener.clone().wait_for(|number| *number >= wanted).await;
        }
    }

    /// Returns the plan to obey, and its changes.
    pub fn plan(&self) -> watch::Receiver<Plan> {
        self.plan.subscribe()
    }

    pub fn set_tokens(&self, changes: impl IntoIterator<Item = (String, Option<TokenState>)>) {
        self.plan.send_modify(|plan| {
            let tokens = Arc::make_mut(&mut plan.tokens);
            for (token, state) in changes {
                tokens.set(&token, state);
            }
        });
    }

    pub fn reset(&self) {
        let script = Arc::new(ActiveScript::new(Script::default()));
        self.plan.send_modify(|plan| {
            *plan = Plan { script, tokens: Arc::new(Tokens::default()), number: plan.number + 1 };
        });
        self.channels.reset();
        self.clock.reset();
        self.ledger.reset();
    }

    /// Returns the number of a new connection, and the plan that it obeys.
    pub fn admit(&self) -> (u64, watch::Receiver<Plan>) {
        (self.connections.fetch_add(1, Ordering::Relaxed) + 1, self.plan.subscribe())
    }

    /// The current script and the number of listed tokens.
    pub fn summary(&self) -> (Script, usize) {
        let plan = self.plan.borrow();
        (plan.script.script.clone(), plan.tokens.len())
    }
}
