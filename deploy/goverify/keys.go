package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// keyring is whom the auditor believes: the log, then all witnesses that must cosign.
type keyring []note.Verifier

func readKeys(path string) (keyring, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var keys keyring
	for _, vkey := range strings.Fields(string(data)) {
		read := note.NewVerifier
		if len(keys) > 0 {
			read = newWitness
		}
		key, err := read(vkey)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, vkey, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: there is no key in it", path)
	}
	return keys, nil
}

// open reads a checkpoint that the log has signed and every witness has cosigned.
func (keys keyring) open(checkpoint []byte) (tlog.Tree, error) {
	opened, err := note.Open(checkpoint, note.VerifierList(keys...))
	if err != nil {
		return tlog.Tree{}, err
	}
	for _, key := range keys {
		if !signed(opened, key) {
			return tlog.Tree{}, fmt.Errorf("it is not signed by %s", key.Name())
		}
	}
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	if origin != keys[0].Name() {
		return tlog.Tree{}, fmt.Errorf("it is of the log %s, not %s", origin, keys[0].Name())
	}
	// Go's one log calls itself so; the lines after it are the same.
	return tlog.ParseTree([]byte("go.sum database tree\n" + rest))
}

// signed says whether one of the signatures, which note.Open has verified, is by this key.
func signed(opened *note.Note, key note.Verifier) bool {
	for _, signature := range opened.Sigs {
		if signature.Name == key.Name() && signature.Hash == key.KeyHash() {
			return true
		}
	}
	return false
}

// tell is the one line about what was verified.
func (keys keyring) tell(tree tlog.Tree, what string) string {
	names := "no witness"
	for at, witness := range keys[1:] {
		if at == 0 {
			names = witness.Name()
		} else {
			names += ", " + witness.Name()
		}
	}
	return fmt.Sprintf("verified: %s, %d entries, root %v, cosigned by %s: %s\n",
		keys[0].Name(), tree.N, tree.Hash, names, what)
}

// witness verifies cosignatures, cosignature/v1 of https://c2sp.org/tlog-cosignature:
// a time, and Ed25519 over the time and the text of the note.
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

const cosignature = 0x04 // the type of such a key

func newWitness(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, errors.New("this is not a verifier key")
	}
	encoded, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(encoded) != 1+ed25519.PublicKeySize || encoded[0] != cosignature {
		return nil, errors.New("this is not the verifier key of a witness")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), encoded...))
	hash := binary.BigEndian.Uint32(sum[:])
	if parts[1] != fmt.Sprintf("%08x", hash) {
		return nil, errors.New("the checksum of this verifier key is wrong")
	}
	return &witness{parts[0], hash, encoded[1:]}, nil
}

func (w *witness) Name() string    { return w.name }
func (w *witness) KeyHash() uint32 { return w.hash }

func (w *witness) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize || signature[0] > 0x7f {
		return false // times end at 2^63 - 1
	}
	time := binary.BigEndian.Uint64(signature)
	message := append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", time)), text...)
	return ed25519.Verify(w.key, message, signature[8:])
}
