"""Makes tokenizer-vectors.json and marked-tokenizer.json: token ids by transformers.

    pip install torch==2.15.0 transformers==5.24.0 tokenizers==0.23.3 gguf==0.19.0
    python tests/reference/make_tokenizer_vectors.py SmolLM2-135M-Instruct.Q4_1.gguf

In tokenizer-vectors.json, for the same strings:
  smollm2   ids under the GGUF file's vocabulary and merges as transformers reads them. For the
            words, transformers knows only GPT-2's rule there; the published tokenizer splits
            digits first, and so does this script
  tiny      ids under tests/fixtures/tiny-model
  words     a vocabulary whose merges run across words, and the ids under each way of cutting
            text into words that a GGUF file may name: by the tokenizer classes of transformers
            (gpt-2, qwen2, llama-bpe), by the published components (smollm), and, where there is
            no other than llama.cpp, by its patterns (default)
  marked    ids under marked-tokenizer.json, a SentencePiece-like tokenizer as transformers'
            LlamaTokenizer builds it, and the text it decodes them to

Training breaks ties in no fixed order: another run may make other vocabularies, and both files
with them.
"""

import json
import pathlib
import sys

import transformers.convert_slow_tokenizer
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, GPT2Tokenizer, LlamaTokenizer, Qwen2Tokenizer

HERE = pathlib.Path(__file__).parent
TINY = HERE.parent / "fixtures" / "tiny-model"
STRINGS = [
    "", " ", "  ", "\n", "\n\n", " \n \n", "\t", "\r\n", "a", " a", "a ", "  a", "a  b", "a   b",
    "Hello, world!", "hello world", "HELLO WORLD", "It's, isn't it? I'll go; they've been, we'd",
    "IT'S WE'LL I'M", "don’t ‘quote’ “this”", "The camera is great and the battery lasts long.",
    "troubleshooting ad-2500 and ad-2600 no picture scrolling b/w.", "12", "123", "1234567", "3.14159",
    "$1,299.00", "1,234,567.89 at 10:30 on 2024-12-31", " 123", "  123  456", "a1b22c333", "½² ³ ٣٤ Ⅻ",
    "２０２４年１２月", "+86 (10) 1234-5678", "user@example.com https://example.com/a?b=c&d=e#f",
    "你好，世界！", "这个相机很好用，电池也耐用。", "人工智能大模型 and English 混排", "こんにちは世界", "カタカナ ひらがな",
    "안녕하세요 세계", "Привет, мир!", "Γειά σου Κόσμε", "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "สวัสดีชาวโลก",
    "café naïve résumé", "cafe\u0301 nai\u0308ve", "Ångström straße ﬁn", "😀", "👍🏽👩‍🚀🏳️‍🌈", "I ❤️ it 😀!!", "1️⃣ 2️⃣",
    "\u200b\u200d\ufeff", "\u00a0nbsp\u00a0", "\u3000全角", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "\U0010ffff", "tab\tand\nnewline\r\nend",
    "def f(x):\n    return x ** 2  # square\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}",
    "SELECT * FROM t WHERE a != 'b' AND c >= 10;", "{\"feeling\": -2.5, \"class\": \"negative\"}",
    "<html><body class=\"x\">&nbsp;</body></html>", "x^2 + y^2 = z^2, a<=b, c~d|e `f`", "...!!!???", "--- === *** ///",
    "        eight spaces", "a" * 50, "ab" * 40, "word " * 20, "\n" * 7 + "x", " " * 33 + "y", "ǅ ǆ Ⓐ ⅓ ٪",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "<|im_start|>", "text<|im_end|>text", "<|im_end", "|im_end|>",
    " <|im_start|> ", "<|endoftext|><|endoftext|>", "<|unknown|>", "<|IM_START|>", "end.<|im_end|>",
    "Ġ literal Ġ and Ċ", "▁ literal ▁", "<0x0A> literal", "null\x00byte", "\x7f\x1b[0m",
]
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
LLAMA_CPP_DEFAULT = [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"]


def digits_then_gpt2():
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )


def ids(tokenizer, strings=STRINGS):
    backend = tokenizer if isinstance(tokenizer, Tokenizer) else tokenizer._tokenizer
    return [backend.encode(text, add_special_tokens=False).ids for text in strings]


def decoded(tokenizer, encoded):
    """The texts that transformers decodes, whole and without special tokens."""
    return {
        "whole": [tokenizer.decode(one) for one in encoded],
        "plain": [tokenizer.decode(one, skip_special_tokens=True) for one in encoded],
    }


def of_smollm2(path):
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    tokenizer._tokenizer.pre_tokenizer = digits_then_gpt2()
    encoded = ids(tokenizer)
    return {"ids": encoded} | decoded(tokenizer, encoded)


def of_tiny():
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    encoded = ids(tokenizer)
    return {"ids": encoded} | decoded(tokenizer, encoded)


def of_words():
    """One vocabulary without words of its own, under every rule for words."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator(STRINGS * 3, trainer)
    model = json.loads(trained.to_str())["model"]
    vocab, merges = model["vocab"], [tuple(pair) for pair in model["merges"]]
    tokens = sorted(vocab, key=vocab.get)

    def bare(pre_tokenizer, **options):
        tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, **options))
        tokenizer.pre_tokenizer = pre_tokenizer
        return ids(tokenizer)

    def split(pattern):
        return pre_tokenizers.Split(Regex(pattern), "isolated")

    pattern = transformers.convert_slow_tokenizer.TikTokenConverter().pattern
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return {
        "tokens": tokens,
        "merges": [" ".join(pair) for pair in merges],
        "ids": {
            "gpt-2": by_class(GPT2Tokenizer, vocab, merges),
            "qwen2": by_class(Qwen2Tokenizer, vocab, merges),
            "llama-bpe": bare(pre_tokenizers.Sequence([split(pattern), bytes_only]), ignore_merges=True),
            "smollm": bare(digits_then_gpt2()),
            "default": bare(pre_tokenizers.Sequence([*map(split, LLAMA_CPP_DEFAULT), bytes_only])),
        },
    }


def by_class(kind, vocab, merges):
    tokenizer = kind(vocab=dict(vocab), merges=list(merges))
    # The classes bring special tokens of their own, so texts that spell one are left out.
    spells_one = [any(token in text for token in tokenizer.all_special_tokens) for text in STRINGS]
    return [None if special else one for special, one in zip(spells_one, ids(tokenizer))]


def of_marked():
    """A small SentencePiece-like tokenizer, written to a file of its own."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=160, limit_alphabet=60, show_progress=False)
    trained.train_from_iterator([text for text in STRINGS if text.isascii()], trainer)
    model = json.loads(trained.to_str())["model"]
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    names += [name for name in sorted(model["vocab"], key=model["vocab"].get) if name not in names]
    tokenizer = LlamaTokenizer(
        vocab={name: index for index, name in enumerate(names)},
        merges=[tuple(pair) for pair in model["merges"]],
    )
    (HERE / "marked-tokenizer.json").write_text(tokenizer._tokenizer.to_str(), encoding="utf-8")
    encoded = ids(tokenizer)
    return {"ids": encoded} | decoded(tokenizer, encoded)


def main():
    vectors = {
        "strings": STRINGS,
        "smollm2": of_smollm2(pathlib.Path(sys.argv[1])),
        "tiny": of_tiny(),
        "words": of_words(),
        "marked": of_marked(),
    }
    text = json.dumps(vectors, ensure_ascii=False, separators=(",", ":"))
    (HERE / "tokenizer-vectors.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
