//! Times cait-sith: ECDSA from triples. A signature is everything that is spent on one: two triples, a presignature
//! made of them, and the signature itself.

use cait_sith::protocol::{run_protocol, InitializationError, Participant, Protocol};
use cait_sith::triples::{generate_triple, TripleGenerationOutput};
use cait_sith::{keygen, presign, sign, KeygenOutput, PresignArguments};
use k256::{Scalar, Secp256k1};
use timing::Case;

const PARTIES: u16 = 3;
const THRESHOLD: u16 = 2;

type Key = KeygenOutput<Secp256k1>;
type Triple = TripleGenerationOutput<Secp256k1>;

fn main() {
    let everyone: Vec<Participant> = (0..PARTIES)
        .map(|n| Participant::from(u32::from(n)))
        .collect();
    let case = |operation, signers, run| Case {
        operation,
        scheme: "ECDSA secp256k1",
        protocol: "cait-sith",
        threshold: THRESHOLD,
        parties: PARTIES,
        signers,
        run,
    };
    let threshold = usize::from(THRESHOLD);
    let keys = all(&everyone, |_, me| {
        keygen::<Secp256k1>(&everyone, me, threshold)
    });
    let mut cases = Vec::new();
    for count in THRESHOLD..=PARTIES {
        let (signers, keys) = (everyone[..count.into()].to_vec(), keys.clone());
        cases.push(case(
            "sign",
            count,
            Box::new(move || sign_wholly(&signers, &keys)) as Box<dyn Fn()>,
        ));
    }
    let run = move || {
        drop(all(&everyone, |_, me| {
            keygen::<Secp256k1>(&everyone, me, threshold)
        }))
    };
    cases.push(case("keygen", 0, Box::new(run)));
    timing::serve(cases);
}

fn sign_wholly(signers: &[Participant], keys: &[Key]) {
    let threshold = usize::from(THRESHOLD);
    let [first, second] = [(); 2].map(|()| -> Vec<Triple> {
        all(signers, |_, me| {
            generate_triple::<Secp256k1>(signers, me, threshold)
        })
    });
    let presignatures = all(signers, |i, me| {
        let (triple0, triple1, keygen_out) = (first[i].clone(), second[i].clone(), keys[i].clone());
        presign(
            signers,
            me,
            PresignArguments {
                triple0,
                triple1,
                keygen_out,
                threshold,
            },
        )
    });
    let (public, digest) = (keys[0].public_key, Scalar::from(2u64));
    all(signers, |i, me| {
        sign(signers, me, public, presignatures[i].clone(), digest)
    });
}

/// What every participant gets out of a protocol, in their order.
fn all<P: Protocol + 'static>(
    participants: &[Participant],
    start: impl Fn(usize, Participant) -> Result<P, InitializationError>,
) -> Vec<P::Output> {
    let started = participants.iter().enumerate().map(
        |(i, me)| -> (_, Box<dyn Protocol<Output = P::Output>>) {
            (*me, Box::new(start(i, *me).unwrap()))
        },
    );
    let mut results = run_protocol(started.collect()).unwrap();
    results.sort_by_key(|(participant, _)| *participant);
    results.into_iter().map(|(_, result)| result).collect()
}
