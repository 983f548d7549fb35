// Package timing is the half of the conversation with the runner that every Go program here shares: say once, as a
// line of JSON, what can be timed; then answer each line "case runs" with the milliseconds of CPU time, over all threads,
// that each of those runs took: what all parties computed, whatever else the machine was doing.
package timing

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Case is one thing that can be timed. Run does it once, with all its parties.
type Case struct {
	Operation string `json:"operation"`
	Scheme    string `json:"scheme"`
	Protocol  string `json:"protocol"`
	Threshold int    `json:"threshold"`
	Parties   int    `json:"parties"`
	Signers   int    `json:"signers"`

	Run func() error `json:"-"`
}

type offer struct {
	Cases []Case `json:"cases"`
}

type answer struct {
	Milliseconds []float64 `json:"milliseconds"`
}

// Serve answers until the input ends.
func Serve(cases []Case) {
	out := json.NewEncoder(os.Stdout)
	say := func(value any) { Check(out.Encode(value)) }
	say(offer{cases})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var number, runs int
		_, err := fmt.Sscan(lines.Text(), &number, &runs)
		Check(err)
		times := make([]float64, runs)
		for i := range times {
			before := computed()
			Check(cases[number].Run())
			times[i] = computed() - before
		}
		say(answer{times})
	}
}

// computed is the CPU time of this process, in milliseconds.
func computed() float64 {
	var clock unix.Timespec
	Check(unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &clock))
	return float64(clock.Nano()) / 1e6
}

// Check ends the program where something failed: a figure of a failed run would be none.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Must is Check for what also has a value.
func Must[T any](value T, err error) T {
	Check(err)
	return value
}
