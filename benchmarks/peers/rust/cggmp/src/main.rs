//! Times cggmp24, the successor of cggmp21, over its own simulator, which hands messages over without encoding them.
//! The key is dealt, with tables for multi-exponentiation, the quicker way to sign; exactly the threshold's number of
//! parties can sign with it, so that two signers have a 2-of-3 key and three a 3-of-3 key.

use cggmp24::backend::Integer;
use cggmp24::security_level::SecurityLevel128;
use cggmp24::supported_curves::Secp256k1;
use cggmp24::{signing, trusted_dealer, DataToSign, ExecutionId, KeyShare, PregeneratedPrimes};
use rand_core::OsRng;
use round_based::sim;
use sha2::Sha256;
use timing::Case;

const PARTIES: u16 = 3;

/// Four safe primes for each party. Anybody can read them here, so they guard nothing but time.
const PRIMES: &str = include_str!("../primes.txt");

fn main() {
    let case = |signers| {
        let shares = dealt(signers);
        Case {
            operation: "sign",
            scheme: "ECDSA secp256k1",
            protocol: "CGGMP24",
            threshold: signers,
            parties: PARTIES,
            signers,
            run: Box::new(move || sign(&shares, signers)),
        }
    };
    timing::serve(vec![case(2), case(3)]);
}

fn dealt(threshold: u16) -> Vec<KeyShare<Secp256k1>> {
    let primes: Vec<Integer> = PRIMES
        .lines()
        .map(|line| Integer::from_str_radix(line, 16).unwrap())
        .collect();
    let of_each = primes.chunks_exact(4).map(|four| -> PregeneratedPrimes {
        let four: [Integer; 4] = four.to_vec().try_into().unwrap();
        four.try_into().unwrap()
    });
    trusted_dealer::builder::<Secp256k1, SecurityLevel128>(PARTIES)
        .set_threshold(Some(threshold))
        .set_pregenerated_primes(of_each.collect())
        .enable_multiexp(true)
        .generate_shares(&mut OsRng)
        .unwrap()
}

fn sign(shares: &[KeyShare<Secp256k1>], signers: u16) {
    let who: Vec<u16> = (0..signers).collect();
    let data = DataToSign::digest::<Sha256>(b"what everyone signs");
    let (who, data) = (&who, &data);
    sim::run(signers, |me, party| async move {
        let mine = &shares[usize::from(me)];
        signing(ExecutionId::new(b"session"), me, who, mine)
            .sign(&mut OsRng, party, data)
            .await
    })
    .unwrap()
    .expect_ok();
}
