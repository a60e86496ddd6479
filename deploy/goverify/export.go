package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	height  = 8 // of a tile, in levels of the tree
	width   = 1 << height
	entries = -1 // the level by which x/mod means bundles of entries
)

// export is the directory of one; tlog reads its tiles as a tlog.TileReader.
type export string

func (dir export) path(name string) string {
	return filepath.Join(string(dir), filepath.FromSlash(name))
}

// read returns a file of the export. A hostile one may be a pipe, or without an end.
func (dir export) read(name string) ([]byte, error) {
	about, err := os.Lstat(dir.path(name))
	if err == nil && (!about.Mode().IsRegular() || about.Size() > width*(2+1<<16)) {
		err = fmt.Errorf("%s: no file of a log is like this", name)
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(dir.path(name))
}

// open reads whom to believe, and the checkpoint that they have signed.
func (dir export) open(keyFile string) (keyring, tlog.Tree, error) {
	keys, err := readKeys(keyFile)
	if err != nil {
		return nil, tlog.Tree{}, err
	}
	data, err := dir.read("checkpoint")
	if err != nil {
		return nil, tlog.Tree{}, err
	}
	tree, err := keys.open(data)
	if err != nil {
		err = fmt.Errorf("checkpoint: %w", err)
	}
	return keys, tree, err
}

// nameOf returns a tile's path in C2SP, which has no height, and "entries" for "data".
func nameOf(tile tlog.Tile) string {
	path := tile.Path()
	if tile.L == entries {
		return strings.Replace(path, "tile/8/data/", "tile/entries/", 1)
	}
	return strings.Replace(path, "tile/8/", "tile/", 1)
}

// row returns the tiles of one level with so many hashes, or the bundles of entries.
func row(level int, count int64) []tlog.Tile {
	var tiles []tlog.Tile
	for n := int64(0); n < count>>height; n++ {
		tiles = append(tiles, tlog.Tile{H: height, L: level, N: n, W: width})
	}
	if rest := int(count % width); rest > 0 {
		tiles = append(tiles, tlog.Tile{H: height, L: level, N: count >> height, W: rest})
	}
	return tiles
}

func tilesOf(size int64) []tlog.Tile {
	var tiles []tlog.Tile
	for level := 0; size > 0; level, size = level+1, size>>height {
		tiles = append(tiles, row(level, size)...)
	}
	return tiles
}

// bundleAt returns the bundle that an entry of a log of this size is in.
func bundleAt(index, size int64) tlog.Tile {
	bundle := tlog.Tile{H: height, L: entries, N: index >> height, W: width}
	if rest := size - bundle.N<<height; rest < width {
		bundle.W = int(rest)
	}
	return bundle
}

// stored are hashes in the order in which tlog numbers them.
type stored []tlog.Hash

func (hashes stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for at, index := range indexes {
		found[at] = hashes[index]
	}
	return found, nil
}

// hashes makes all hashes of the tree anew from the entries.
func (dir export) hashes(size int64) (stored, error) {
	var hashes stored
	for index := int64(0); index < size; {
		leaves, err := dir.leaves(bundleAt(index, size))
		if err != nil {
			return nil, err
		}
		for _, leaf := range leaves {
			more, err := tlog.StoredHashes(index, leaf, hashes)
			if err != nil {
				return nil, err
			}
			hashes, index = append(hashes, more...), index+1
		}
	}
	return hashes, nil
}

// leaves reads a bundle of entries: each stands behind its length, two bytes.
func (dir export) leaves(bundle tlog.Tile) ([][]byte, error) {
	data, err := dir.read(nameOf(bundle))
	if err != nil {
		return nil, err
	}
	var leaves [][]byte
	for len(data) >= 2 {
		end := 2 + int(binary.BigEndian.Uint16(data))
		if end > len(data) {
			break
		}
		leaves, data = append(leaves, data[2:end]), data[end:]
	}
	if len(data) > 0 || len(leaves) != bundle.W {
		return nil, fmt.Errorf("%s: this is not a bundle of %d entries", nameOf(bundle), bundle.W)
	}
	return leaves, nil
}

// compare checks that a published tile is the one that the entries lead to.
func (dir export) compare(tile tlog.Tile, hashes stored) error {
	due, err := tlog.ReadTileData(tile, hashes)
	if err != nil {
		return err
	}
	data, err := dir.read(nameOf(tile))
	if err == nil && !bytes.Equal(data, due) {
		err = fmt.Errorf("%s: this tile is not that of the entries", nameOf(tile))
	}
	return err
}

// checkNames checks that there are no tiles but those that were compared.
func (dir export) checkNames(size int64) error {
	due := map[string]bool{}
	for _, tile := range append(tilesOf(size), row(entries, size)...) {
		due[dir.path(nameOf(tile))] = true
	}
	return filepath.WalkDir(dir.path("tile"), func(path string, file fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && size == 0 {
			return nil
		}
		if err == nil && !file.IsDir() && !due[path] {
			err = fmt.Errorf("%s: no file of a log of %d entries", path, size)
		}
		return err
	})
}

func (dir export) Height() int { return height }

func (dir export) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := dir.read(nameOf(tile))
		if err != nil {
			return nil, err
		}
		all = append(all, data) // tlog compares its size
	}
	return all, nil
}

func (dir export) SaveTiles([]tlog.Tile, [][]byte) {}
