//! The errors of the simulator's start.

use super::identity::IdentityError;
use super::script::ScriptError;

/// The reason that a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error("the script is refused: {0}")]
    Script(#[from] ScriptError),
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}
