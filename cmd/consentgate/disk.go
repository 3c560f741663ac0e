package main

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"consentgate/store"
)

// disk reads how little room is too little.
func (p *parser) disk(n *yaml.Node, path string) {
	d := &p.config.Disk
	p.mapping(n, path, fields{
		"low":  parsed(p.reader, &d.Low, mark),
		"stop": parsed(p.reader, &d.Stop, mark),
	})
	alike := (d.Low.Bytes > 0) == (d.Stop.Bytes > 0) && d.Low != (store.Mark{})
	if alike && (d.Low.Bytes < d.Stop.Bytes || d.Low.Share < d.Stop.Share) {
		p.errorf(n, path+".low", "is less than %s.stop: the alarm would come after the end", path)
	}
}

// mostShare is the largest share of a disk that a mark may be.
const mostShare = 50

// mark reads 5%, 2GiB or 0.
func mark(v string) (store.Mark, error) {
	share, ok := strings.CutSuffix(v, "%")
	if !ok {
		bytes, err := size(v)
		if err != nil {
			err = errors.New("a share of the disk, for instance 5%, or a size, for instance 2GiB; 0 is never")
		}
		return store.Mark{Bytes: bytes}, err
	}
	n, err := strconv.ParseFloat(share, 64)
	if err != nil || !(n >= 0 && n <= mostShare) {
		return store.Mark{}, errors.New("a share from 0% to 50%")
	}
	return store.Mark{Share: n / 100}, nil
}

// size reads 500MiB, 50GiB or 0.
func size(v string) (int64, error) {
	wrong := errors.New("a size is a whole number and a unit, for instance 500MiB, 50GiB or 2TiB; 0 is no limit")
	if v == "0" {
		return 0, nil
	}
	for unit, bytes := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40} {
		digits, ok := strings.CutSuffix(v, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/bytes {
			return 0, wrong
		}
		return n * bytes, nil
	}
	return 0, wrong
}
