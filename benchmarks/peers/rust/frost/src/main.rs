//! Times the Zcash Foundation's FROST, as its documentation has it used: one coordinator collects commitments and
//! signature shares, checks and aggregates them. What travels between them travels as bytes.

use std::collections::BTreeMap;

use frost_core::keys::{dkg, KeyPackage, PublicKeyPackage};
use frost_core::{aggregate, round1, round2, Ciphersuite, Identifier, SigningPackage};
use frost_ed25519::Ed25519Sha512;
use frost_secp256k1_tr::Secp256K1Sha256TR;
use rand_core::OsRng;
use timing::Case;

const PARTIES: u16 = 3;
const THRESHOLD: u16 = 2;
const MESSAGE: &[u8] = b"the 32 bytes that everyone signs";

type Of<C, T> = BTreeMap<Identifier<C>, T>;

fn main() {
    let mut cases = cases_of::<Ed25519Sha512>("Ed25519");
    cases.extend(cases_of::<Secp256K1Sha256TR>("BIP-340 secp256k1"));
    timing::serve(cases);
}

fn cases_of<C: Ciphersuite>(scheme: &'static str) -> Vec<Case> {
    let case = move |operation, signers, run| Case {
        operation,
        scheme,
        protocol: "FROST",
        threshold: THRESHOLD,
        parties: PARTIES,
        signers,
        run,
    };
    let mut cases = vec![case("keygen", 0, Box::new(|| drop(keygen::<C>())))];
    for signers in THRESHOLD..=PARTIES {
        let (keys, public) = keygen::<C>();
        cases.push(case(
            "sign",
            signers,
            Box::new(move || sign(&keys, &public, signers.into())),
        ));
    }
    cases
}

fn keygen<C: Ciphersuite>() -> (Of<C, KeyPackage<C>>, PublicKeyPackage<C>) {
    let everyone: Vec<Identifier<C>> = (1..=PARTIES).map(|n| n.try_into().unwrap()).collect();
    let (mut secrets, mut openings) = (BTreeMap::new(), BTreeMap::new());
    for me in &everyone {
        let (secret, opening) = dkg::part1::<C, _>(*me, PARTIES, THRESHOLD, OsRng).unwrap();
        secrets.insert(*me, secret);
        openings.insert(*me, opening.serialize().unwrap());
    }
    let heard = |me: &Identifier<C>| -> Of<C, dkg::round1::Package<C>> {
        let others = openings.iter().filter(|(from, _)| *from != me);
        others
            .map(|(from, bytes)| (*from, dkg::round1::Package::deserialize(bytes).unwrap()))
            .collect()
    };
    let (mut firsts, mut seconds, mut sent) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (me, secret) in secrets {
        let first = heard(&me);
        let (second, shares) = dkg::part2(secret, &first).unwrap();
        firsts.insert(me, first);
        seconds.insert(me, second);
        for (to, share) in shares {
            sent.insert((me, to), share.serialize().unwrap());
        }
    }
    let (mut keys, mut public) = (BTreeMap::new(), None);
    for me in &everyone {
        let to_me = sent.iter().filter(|((_, to), _)| to == me);
        let shares = to_me
            .map(|((from, _), bytes)| (*from, dkg::round2::Package::deserialize(bytes).unwrap()));
        let (key, shared) = dkg::part3(&seconds[me], &firsts[me], &shares.collect()).unwrap();
        keys.insert(*me, key);
        public = Some(shared);
    }
    (keys, public.unwrap())
}

fn sign<C: Ciphersuite>(keys: &Of<C, KeyPackage<C>>, public: &PublicKeyPackage<C>, signers: usize) {
    let (mut nonces, mut commitments) = (BTreeMap::new(), BTreeMap::new());
    for (me, key) in keys.iter().take(signers) {
        let (mine, said) = round1::commit(key.signing_share(), &mut OsRng);
        nonces.insert(*me, mine);
        commitments.insert(
            *me,
            round1::SigningCommitments::deserialize(&said.serialize().unwrap()).unwrap(),
        );
    }
    let package = SigningPackage::new(commitments, MESSAGE);
    let bytes = package.serialize().unwrap();
    let mut shares = BTreeMap::new();
    for (me, mine) in &nonces {
        let heard = SigningPackage::deserialize(&bytes).unwrap();
        let share = round2::sign(&heard, mine, &keys[me]).unwrap();
        shares.insert(
            *me,
            round2::SignatureShare::deserialize(&share.serialize()).unwrap(),
        );
    }
    aggregate(&package, &shares, public).unwrap();
}
