// Times bnb-chain/tss-lib: ECDSA by GG18 and EdDSA.
package main

import (
	"errors"
	"math/big"

	"github.com/bnb-chain/tss-lib/v2/common"
	ecdsakeygen "github.com/bnb-chain/tss-lib/v2/ecdsa/keygen"
	ecdsasigning "github.com/bnb-chain/tss-lib/v2/ecdsa/signing"
	eddsakeygen "github.com/bnb-chain/tss-lib/v2/eddsa/keygen"
	eddsasigning "github.com/bnb-chain/tss-lib/v2/eddsa/signing"
	"github.com/bnb-chain/tss-lib/v2/tss"

	"peers/timing"
)

const (
	count     = 3
	threshold = 2
)

var hash = new(big.Int).SetBytes([]byte("the 32 bytes that everyone signs"))

func main() {
	timing.Serve(append(eddsaCases(), ecdsaCases()...))
}

func eddsaCases() []timing.Case {
	parties := members()
	keygen := func() ([]*eddsakeygen.LocalPartySaveData, error) {
		return run(parties, func(id *tss.PartyID, out chan<- tss.Message, end chan<- *eddsakeygen.LocalPartySaveData) tss.Party {
			ours := tss.NewParameters(tss.Edwards(), tss.NewPeerContext(parties), id, count, threshold-1)
			return eddsakeygen.NewLocalParty(ours, out, end)
		})
	}
	keys := timing.Must(keygen())
	of := timing.Case{Scheme: "Ed25519", Protocol: "tss-lib EdDSA", Threshold: threshold, Parties: count}
	cases := []timing.Case{as(of, "keygen", keygen)}
	for of.Signers = threshold; of.Signers <= count; of.Signers++ {
		signers := parties[:of.Signers]
		cases = append(cases, as(of, "sign", func() ([]*common.SignatureData, error) {
			return run(signers, func(id *tss.PartyID, out chan<- tss.Message, end chan<- *common.SignatureData) tss.Party {
				ours := tss.NewParameters(tss.Edwards(), tss.NewPeerContext(signers), id, len(signers), threshold-1)
				return eddsasigning.NewLocalParty(hash, ours, *keys[id.Index], out, end)
			})
		}))
	}
	return cases
}

// ecdsaCases signs under a key of its own, made with the safe primes of the library's test fixtures.
func ecdsaCases() []timing.Case {
	fixtures, _, err := ecdsakeygen.LoadKeygenTestFixtures(count)
	timing.Check(err)
	parties := members()
	keygen := func() ([]*ecdsakeygen.LocalPartySaveData, error) {
		return run(parties, func(id *tss.PartyID, out chan<- tss.Message, end chan<- *ecdsakeygen.LocalPartySaveData) tss.Party {
			ours := tss.NewParameters(tss.S256(), tss.NewPeerContext(parties), id, count, threshold-1)
			return ecdsakeygen.NewLocalParty(ours, out, end, fixtures[id.Index].LocalPreParams)
		})
	}
	keys := timing.Must(keygen())
	of := timing.Case{Scheme: "ECDSA secp256k1", Protocol: "GG18", Threshold: threshold, Parties: count}
	var cases []timing.Case
	for of.Signers = threshold; of.Signers <= count; of.Signers++ {
		signers := parties[:of.Signers]
		cases = append(cases, as(of, "sign", func() ([]*common.SignatureData, error) {
			return run(signers, func(id *tss.PartyID, out chan<- tss.Message, end chan<- *common.SignatureData) tss.Party {
				ours := tss.NewParameters(tss.S256(), tss.NewPeerContext(signers), id, len(signers), threshold-1)
				return ecdsasigning.NewLocalParty(hash, ours, *keys[id.Index], out, end)
			})
		}))
	}
	return cases
}

func members() tss.SortedPartyIDs {
	var ids tss.UnSortedPartyIDs
	for n := int64(1); n <= count; n++ {
		ids = append(ids, tss.NewPartyID(string(rune('a'+n)), "", big.NewInt(n)))
	}
	return tss.SortPartyIDs(ids)
}

func as[T any](of timing.Case, operation string, session func() ([]T, error)) timing.Case {
	of.Operation = operation
	of.Run = func() error {
		_, err := session()
		return err
	}
	return of
}

// run carries messages, as bytes, until nobody has any more to send, and gives what the parties came to, in their order.
func run[T any](ids tss.SortedPartyIDs, party func(*tss.PartyID, chan<- tss.Message, chan<- T) tss.Party) ([]T, error) {
	messages := make(chan tss.Message, 10*len(ids)*len(ids))
	ends := make([]chan T, len(ids))
	parties := make([]tss.Party, len(ids))
	for i, id := range ids {
		ends[i] = make(chan T, 1)
		parties[i] = party(id, messages, ends[i])
	}
	for _, one := range parties {
		if err := one.Start(); err != nil {
			return nil, err
		}
	}
	for len(messages) > 0 {
		if err := deliver(<-messages, parties); err != nil {
			return nil, err
		}
	}
	results := make([]T, len(ids))
	for i, end := range ends {
		select {
		case results[i] = <-end:
		default:
			return nil, errors.New("a party did not finish")
		}
	}
	return results, nil
}

func deliver(message tss.Message, parties []tss.Party) error {
	wire, _, err := message.WireBytes()
	if err != nil {
		return err
	}
	from := message.GetFrom()
	for i, to := range parties {
		if i == from.Index || !isFor(message, to.PartyID()) {
			continue
		}
		if _, err := to.UpdateFromBytes(wire, from, message.IsBroadcast()); err != nil {
			return err
		}
	}
	return nil
}

func isFor(message tss.Message, id *tss.PartyID) bool {
	if message.GetTo() == nil {
		return true
	}
	for _, to := range message.GetTo() {
		if to.Index == id.Index {
			return true
		}
	}
	return false
}
