//! Diffie-Hellman over the 768-bit prime of message stream encryption, with a private exponent of 160 bits.

use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{U192, U768, const_monty_params};

use crate::MseError;

/// Bytes of a public key, and of a shared secret.
pub const KEY_LEN: usize = 96;
/// Bytes of a private key.
pub const PRIVATE_LEN: usize = 20;

const_monty_params!(
    Prime,
    U768,
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
     020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374\
     FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563",
    "The prime of the exchange."
);

const GENERATOR: U768 = U768::from_u8(2);

/// `base` to the power of `private`, in a time that depends on neither.
fn power(base: &U768, private: &[u8; PRIVATE_LEN]) -> U768 {
    let mut wide = [0; 24];
    wide[4..].copy_from_slice(private);
    let exponent = U192::from_be_slice(&wide);
    let base = ConstMontyForm::<Prime, { U768::LIMBS }>::new(base);
    base.pow_bounded_exp(&exponent, 8 * PRIVATE_LEN as u32).retrieve()
}

/// All 96 bytes, those at the beginning that are zero too: they count in the hashes that follow.
fn bytes(number: &U768) -> [u8; KEY_LEN] {
    let mut out = [0; KEY_LEN];
    for (place, word) in out.chunks_exact_mut(8).zip(number.as_words().iter().rev()) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    out
}

/// Whether a public key makes a secret: it is above 1 and below the prime less 1. The others make 0, 1 or the
/// prime less 1, whatever the private key.
fn is_sound(key: &U768) -> bool {
    let prime = Prime::PARAMS.modulus().get();
    *key > U768::ONE && *key < prime.wrapping_sub(&U768::ONE)
}

/// The public key of a private one. It is the work of one exponentiation.
pub fn public_key(private: &[u8; PRIVATE_LEN]) -> [u8; KEY_LEN] {
    bytes(&power(&GENERATOR, private))
}

/// The secret that both sides share. It is the work of one exponentiation.
///
/// # Errors
/// [`MseError::WeakKey`] for keys that make a secret that everybody knows.
pub fn shared_secret(
    private: &[u8; PRIVATE_LEN],
    theirs: &[u8; KEY_LEN],
) -> Result<[u8; KEY_LEN], MseError> {
    let key = U768::from_be_slice(theirs);
    if !is_sound(&key) {
        return Err(MseError::WeakKey);
    }
    Ok(bytes(&power(&key, private)))
}

/// Whether our own key may be sent; true but for private keys that nobody draws.
pub(crate) fn is_sound_key(public: &[u8; KEY_LEN]) -> bool {
    is_sound(&U768::from_be_slice(public))
}
