package main

import (
	"sort"
	"sync"
	"time"
)

// The same load as tests/bench/load gives the others.
const (
	keys       = 100_000
	valueBytes = 100
)

type load struct {
	What   string `json:"what"`
	Tasks  int    `json:"tasks"`
	Warm   int    `json:"warm"`
	Millis int    `json:"millis"`
	Rate   int    `json:"rate"`
}

type measured struct {
	Done    int     `json:"done"`
	Failed  int     `json:"failed"`
	Why     *string `json:"why"`
	Seconds float64 `json:"seconds"`
	P50     float64 `json:"p50"`
	P90     float64 `json:"p90"`
	P99     float64 `json:"p99"`
	P999    float64 `json:"p999"`
	Max     float64 `json:"max"`
}

// seen is what one task saw.
type seen struct {
	took   []time.Duration
	failed int
	why    *string
}

func (s *seen) record(took time.Duration, err error) {
	if err == nil {
		s.took = append(s.took, took)
		return
	}
	s.failed++
	if s.why == nil {
		why := err.Error()
		s.why = &why
	}
}

func (l *load) run(put func(int) error) measured {
	begin := time.Now().Add(time.Duration(l.Warm) * time.Millisecond)
	end := begin.Add(time.Duration(l.Millis) * time.Millisecond)
	all := make([]seen, l.Tasks)
	var due chan time.Time
	if l.Rate > 0 {
		due = make(chan time.Time, l.Rate)
		go pace(l.Rate, end, due)
	}
	var tasks sync.WaitGroup
	for task := range all {
		tasks.Add(1)
		go func() {
			defer tasks.Done()
			if due != nil {
				all[task].paced(due, begin, task, put)
			} else {
				all[task].closed(begin, end, task*(keys/l.Tasks), put)
			}
		}()
	}
	tasks.Wait()
	return summary(all, end.Sub(begin).Seconds())
}

// closed begins each write when the last one ended.
func (s *seen) closed(begin, end time.Time, key int, put func(int) error) {
	for ; ; key += 7919 {
		started := time.Now()
		if started.After(end) {
			return
		}
		err := put(key)
		if ended := time.Now(); started.After(begin) && ended.Before(end) {
			s.record(ended.Sub(started), err)
		}
	}
}

// paced begins writes when they are due, and times them from then on.
func (s *seen) paced(dues <-chan time.Time, begin time.Time, key int, put func(int) error) {
	for due := range dues {
		key += 7919
		err := put(key)
		if due.After(begin) {
			s.record(time.Since(due), err)
		}
	}
}

func pace(rate int, end time.Time, due chan<- time.Time) {
	defer close(due)
	start := time.Now()
	for n := 0; ; n++ {
		next := start.Add(time.Duration(n) * time.Second / time.Duration(rate))
		if !next.Before(end) {
			return
		}
		time.Sleep(time.Until(next))
		due <- next
	}
}

func summary(all []seen, seconds float64) measured {
	m := measured{Seconds: seconds}
	var took []time.Duration
	for _, s := range all {
		took = append(took, s.took...)
		m.Failed += s.failed
		if m.Why == nil {
			m.Why = s.why
		}
	}
	m.Done = len(took)
	if m.Done == 0 {
		return m
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	at := func(q float64) float64 {
		return float64(took[min(int(q*float64(len(took))), len(took)-1)].Nanoseconds()) / 1e3
	}
	m.P50, m.P90, m.P99, m.P999, m.Max = at(0.5), at(0.9), at(0.99), at(0.999), at(1)
	return m
}
