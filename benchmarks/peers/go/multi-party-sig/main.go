// Times taurusgroup/multi-party-sig: ECDSA by Doerner et al. (two parties) and by CMP, Schnorr by FROST.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/taurusgroup/multi-party-sig/pkg/math/curve"
	"github.com/taurusgroup/multi-party-sig/pkg/party"
	"github.com/taurusgroup/multi-party-sig/pkg/protocol"
	"github.com/taurusgroup/multi-party-sig/protocols/cmp"
	"github.com/taurusgroup/multi-party-sig/protocols/doerner"
	"github.com/taurusgroup/multi-party-sig/protocols/frost"

	"peers/timing"
)

const (
	ecdsa     = "ECDSA secp256k1"
	schnorr   = "Schnorr secp256k1"
	taproot   = "BIP-340 secp256k1"
	threshold = 2
)

var (
	group   = curve.Secp256k1{}
	parties = party.IDSlice{"a", "b", "c"}
	session = []byte("session")
	hash    = []byte("the 32 bytes that everyone signs")
)

type handlers = map[party.ID]protocol.Handler

// main takes the directory where CMP's key, slow to make, is kept from one run to the next.
func main() {
	cases := append(doernerCases(), frostCases()...)
	timing.Serve(append(cases, cmpCases(os.Args[1])...))
}

func doernerCases() []timing.Case {
	receiver, sender := parties[0], parties[1]
	both := func(forReceiver, forSender protocol.StartFunc, senderStarts bool) (handlers, error) {
		one, err := protocol.NewTwoPartyHandler(forReceiver, session, true)
		if err != nil {
			return nil, err
		}
		two, err := protocol.NewTwoPartyHandler(forSender, session, senderStarts)
		return handlers{receiver: one, sender: two}, err
	}
	keygen := func() (handlers, error) {
		return both(
			doerner.Keygen(group, true, receiver, sender, nil),
			doerner.Keygen(group, false, sender, receiver, nil),
			false,
		)
	}
	made := timing.Must(finished(keygen()))
	mine, theirs := made[receiver].(*doerner.ConfigReceiver), made[sender].(*doerner.ConfigSender)
	sign := func() (handlers, error) {
		return both(
			doerner.SignReceiver(mine, receiver, sender, hash, nil),
			doerner.SignSender(theirs, sender, receiver, hash, nil),
			true,
		)
	}
	of := timing.Case{Scheme: ecdsa, Protocol: "DKLs18", Threshold: 2, Parties: 2, Signers: 2}
	return []timing.Case{as(of, "keygen", keygen), as(of, "sign", sign)}
}

func frostCases() []timing.Case {
	keygen := among(parties, func(id party.ID) protocol.StartFunc {
		return frost.Keygen(group, id, parties, threshold-1)
	})
	keygenTaproot := among(parties, func(id party.ID) protocol.StartFunc {
		return frost.KeygenTaproot(id, parties, threshold-1)
	})
	keys, taprootKeys := timing.Must(finished(keygen())), timing.Must(finished(keygenTaproot()))

	of := timing.Case{Scheme: schnorr, Protocol: "FROST", Threshold: threshold, Parties: len(parties)}
	ofTaproot := of
	ofTaproot.Scheme = taproot
	cases := []timing.Case{as(of, "keygen", keygen)}
	for count := threshold; count <= len(parties); count++ {
		signers := parties[:count]
		of.Signers, ofTaproot.Signers = count, count
		cases = append(cases,
			as(of, "sign", among(signers, func(id party.ID) protocol.StartFunc {
				return frost.Sign(keys[id].(*frost.Config), signers, hash)
			})),
			as(ofTaproot, "sign", among(signers, func(id party.ID) protocol.StartFunc {
				return frost.SignTaproot(taprootKeys[id].(*frost.TaprootConfig), signers, hash)
			})),
		)
	}
	return cases
}

func cmpCases(directory string) []timing.Case {
	keys := cmpKeys(directory)
	of := timing.Case{Scheme: ecdsa, Protocol: "CMP20", Threshold: threshold, Parties: len(parties)}
	var cases []timing.Case
	for count := threshold; count <= len(parties); count++ {
		signers := parties[:count]
		of.Signers = count
		cases = append(cases, as(of, "sign", among(signers, func(id party.ID) protocol.StartFunc {
			return cmp.Sign(keys[id], signers, hash, nil)
		})))
	}
	return cases
}

func cmpKeys(directory string) map[party.ID]*cmp.Config {
	path := func(id party.ID) string { return filepath.Join(directory, "cmp-"+string(id)) }
	keys := map[party.ID]*cmp.Config{}
	for _, id := range parties {
		key := cmp.EmptyConfig(group)
		stored, err := os.ReadFile(path(id))
		if err == nil && key.UnmarshalBinary(stored) == nil {
			keys[id] = key
		}
	}
	if len(keys) == len(parties) {
		return keys
	}
	fmt.Fprintln(os.Stderr, "making CMP's key, once: minutes, for its primes")
	made := timing.Must(finished(among(parties, func(id party.ID) protocol.StartFunc {
		return cmp.Keygen(group, id, parties, threshold-1, nil)
	})()))
	for id, result := range made {
		keys[id] = result.(*cmp.Config)
		timing.Check(os.WriteFile(path(id), timing.Must(keys[id].MarshalBinary()), 0o600))
	}
	return keys
}

// among gives each of several parties its handler.
func among(ids party.IDSlice, start func(party.ID) protocol.StartFunc) func() (handlers, error) {
	return func() (handlers, error) {
		all := handlers{}
		for _, id := range ids {
			handler, err := protocol.NewMultiHandler(start(id), session)
			if err != nil {
				return nil, err
			}
			all[id] = handler
		}
		return all, nil
	}
}

func as(of timing.Case, operation string, begin func() (handlers, error)) timing.Case {
	of.Operation = operation
	of.Run = func() error {
		_, err := finished(begin())
		return err
	}
	return of
}

// finished carries messages until nobody has any more to send, and says what everyone came to.
func finished(all handlers, err error) (map[party.ID]any, error) {
	if err != nil {
		return nil, err
	}
	for moved := true; moved; {
		moved = false
		for _, from := range all {
			for message := next(from); message != nil; message = next(from) {
				moved = true
				for id, to := range all {
					if message.IsFor(id) {
						to.Accept(message)
					}
				}
			}
		}
	}
	results := map[party.ID]any{}
	for id, handler := range all {
		result, failure := handler.Result()
		results[id], err = result, errors.Join(err, failure)
	}
	return results, err
}

// next is what a party wants sent now, or nil.
func next(from protocol.Handler) *protocol.Message {
	select {
	case message := <-from.Listen():
		return message
	default:
		return nil
	}
}
