// Goverify checks proofs and exports of a Veilscore log with code that is not ours.
//
// All of Merkle's trees and of signed notes is golang.org/x/mod/sumdb, by which Go itself
// checks modules. Here is only what differs: where C2SP puts tiles and entries, how it
// writes a proof down, and what a witness signs. Formats: https://c2sp.org/tlog-tiles,
// tlog-checkpoint, tlog-proof, tlog-cosignature.
//
// It believes the keys that it is given and nothing else. Entries are bytes to it: who
// signed an event, and whether an actor's events are complete, is for
// `veilscore audit verify` to say. It sends nothing and writes no file.
package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const usage = `usage:
  goverify audit       KEYS EXPORT-DIR [OLDER-CHECKPOINT]   every entry and every tile
  goverify consistency KEYS EXPORT-DIR OLDER-CHECKPOINT     only that the log grew
  goverify proof       KEYS FILE.tlog-proof LEAF            that a leaf is in the log
  goverify leaf        KEYS EXPORT-DIR INDEX                print an entry, for proof
KEYS has a verifier key a line: the log's, then those of all witnesses that must have
cosigned. Exit codes: 0 verified, 1 not verified, 2 wrong words.
`

// x/mod defines the root of no entries as zeros, RFC 6962 as the hash of nothing.
var emptyRoot = tlog.Hash(sha256.Sum256(nil))

func main() {
	told, err := "", error(nil)
	switch args := os.Args[1:]; {
	case len(args) == 3 && args[0] == "audit":
		told, err = audit(args[1], export(args[2]), "")
	case len(args) == 4 && args[0] == "audit":
		told, err = audit(args[1], export(args[2]), args[3])
	case len(args) == 4 && args[0] == "consistency":
		told, err = consistency(args[1], export(args[2]), args[3])
	case len(args) == 4 && args[0] == "proof":
		told, err = proof(args[1], args[2], args[3])
	case len(args) == 4 && args[0] == "leaf":
		told, err = leaf(args[1], export(args[2]), args[3])
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "NOT VERIFIED:", err)
		os.Exit(1)
	}
	fmt.Print(told)
}

// audit rebuilds the tree from the entries and compares all that was published with it.
func audit(keyFile string, dir export, older string) (string, error) {
	keys, newer, err := dir.open(keyFile)
	if err != nil {
		return "", err
	}
	hashes, err := dir.hashes(newer.N)
	if err != nil {
		return "", err
	}
	for _, tile := range tilesOf(newer.N) {
		if err := dir.compare(tile, hashes); err != nil {
			return "", err
		}
	}
	if err := dir.checkNames(newer.N); err != nil {
		return "", err
	}
	root := emptyRoot
	if newer.N > 0 {
		if root, err = tlog.TreeHash(newer.N, hashes); err != nil {
			return "", err
		}
	}
	if root != newer.Hash {
		return "", errors.New("the entries do not lead to the root that the checkpoint has")
	}
	if older == "" {
		return keys.tell(newer, "all entries read; without an older checkpoint a rewritten log passes too"), nil
	}
	grown, err := keys.continues(older, newer, hashes)
	return keys.tell(newer, "all entries read; "+grown), err
}

// consistency reads just the tiles on the way: they need not come with entries.
func consistency(keyFile string, dir export, older string) (string, error) {
	keys, newer, err := dir.open(keyFile)
	if err != nil {
		return "", err
	}
	grown, err := keys.continues(older, newer, tlog.TileHashReader(newer, dir))
	return keys.tell(newer, grown), err
}

// continues checks that the newer tree begins with all of an older checkpoint's.
func (keys keyring) continues(file string, newer tlog.Tree, hashes tlog.HashReader) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	older, err := keys.open(data)
	if err != nil {
		return "", fmt.Errorf("older checkpoint: %w", err)
	}
	if older.N > newer.N {
		return "", fmt.Errorf("older checkpoint: the log shrank from %d to %d entries", older.N, newer.N)
	}
	if older.N == 0 && older.Hash != emptyRoot {
		return "", errors.New("older checkpoint: this is not the root of an empty log")
	}
	if older.N > 0 {
		path, err := tlog.ProveTree(newer.N, older.N, hashes)
		if err != nil {
			return "", fmt.Errorf("tiles: %w", err)
		}
		if err := tlog.CheckTree(path, newer.N, newer.Hash, older.N, older.Hash); err != nil {
			return "", fmt.Errorf("older checkpoint: the log does not begin with its %d entries: %w", older.N, err)
		}
	}
	return fmt.Sprintf("begins with the %d of the older checkpoint", older.N), nil
}

// proof checks a leaf against the checkpoint that comes with its proof.
func proof(keyFile, file, leafFile string) (string, error) {
	keys, err := readKeys(keyFile)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	leaf, err := os.ReadFile(leafFile)
	if err != nil {
		return "", err
	}
	index, path, checkpoint, err := parseProof(string(data))
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	tree, err := keys.open([]byte(checkpoint))
	if err != nil {
		return "", fmt.Errorf("%s: its checkpoint: %w", file, err)
	}
	if err := tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash(leaf)); err != nil {
		return "", fmt.Errorf("%s: the leaf is not entry %d: %w", file, index, err)
	}
	return keys.tell(tree, fmt.Sprintf("the leaf is entry %d", index)), nil
}

func parseProof(text string) (int64, tlog.RecordProof, string, error) {
	head, checkpoint, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if len(lines) > 1 && strings.HasPrefix(lines[1], "extra ") {
		lines = append(lines[:1], lines[2:]...) // nothing authenticates it
	}
	if len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		return 0, nil, "", errors.New("this is not a proof of a transparency log")
	}
	index, err := strconv.ParseUint(strings.TrimPrefix(lines[1], "index "), 10, 63)
	if err != nil {
		return 0, nil, "", err
	}
	var path tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return 0, nil, "", err
		}
		path = append(path, hash)
	}
	return int64(index), path, checkpoint, nil
}

// leaf returns an entry of the export, for proof to check.
func leaf(keyFile string, dir export, text string) (string, error) {
	_, tree, err := dir.open(keyFile)
	if err != nil {
		return "", err
	}
	index, err := strconv.ParseUint(text, 10, 63)
	if err != nil || int64(index) >= tree.N {
		return "", fmt.Errorf("%s: there is no such entry among %d", text, tree.N)
	}
	leaves, err := dir.leaves(bundleAt(int64(index), tree.N))
	if err != nil {
		return "", err
	}
	return string(leaves[index%width]), nil
}
