//! From words to an expression that fits the shape of what is filtered. Recursive descent, as deep as the limit allows.
//!
//! Never looks at an object.

use regex::RegexBuilder;

use super::lexer::{Kind, Token, tokens};
use super::{Expression, FilterError, Shape, Step, Test};
use crate::base::limits::{MAXIMUM_FILTER_DEPTH, MAXIMUM_FILTER_PATTERN_BYTES, MAXIMUM_FILTER_PATTERNS};

/// Reads all of an expression.
pub(super) fn parse(text: &str, shape: Shape) -> Result<Expression, FilterError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        position: 0,
        end: text.len(),
        patterns: 0,
        shape,
    };
    let expression = parser.any(0)?;
    match parser.peek() {
        None => Ok(expression),
        Some(_) => Err(parser.unexpected("\"and\", \"or\" or the end")),
    }
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
    end: usize,
    patterns: usize,
    shape: Shape,
}

/// What stands at one side of an operator.
enum Operand {
    /// A bare word, with what follows in brackets.
    Word { text: String, keys: Vec<String> },
    /// Text in quotes.
    Text(String),
}

impl Parser {
    fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.position).map(|token| &token.kind)
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Kind::Word(there)) if there == word);
        self.position += usize::from(is_it);
        is_it
    }

    fn unexpected(&self, wanted: &'static str) -> FilterError {
        let token = self.tokens.get(self.position);
        FilterError::Unexpected {
            at: token.map_or(self.end, |token| token.at),
            found: token.map_or("the end".into(), |token| token.kind.shown()),
            wanted,
        }
    }

    fn any(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.all(depth)?];
        while self.takes("or") {
            parts.push(self.all(depth)?);
        }
        Ok(Expression::Any(parts))
    }

    fn all(&mut self, depth: usize) -> Result<Expression, FilterError> {
        let mut parts = vec![self.negation(depth)?];
        while self.takes("and") {
            parts.push(self.negation(depth)?);
        }
        Ok(Expression::All(parts))
    }

    fn negation(&mut self, depth: usize) -> Result<Expression, FilterError> {
        if depth >= MAXIMUM_FILTER_DEPTH {
            return Err(FilterError::TooDeep);
        }
        if self.takes("not") {
            return Ok(Expression::Not(Box::new(self.negation(depth + 1)?)));
        }
        if matches!(self.peek(), Some(Kind::Open)) {
            self.position += 1;
            let inner = self.any(depth + 1)?;
            if self.peek() != Some(&Kind::Close) {
                return Err(self.unexpected("\")\""));
            }
            self.position += 1;
            return Ok(inner);
        }
        self.condition()
    }

    fn operand(&mut self, wanted: &'static str) -> Result<Operand, FilterError> {
        match self.peek() {
            Some(Kind::Text(text)) => {
                let text = text.clone();
                self.position += 1;
                Ok(Operand::Text(text))
            }
            Some(Kind::Word(word)) => {
                let text = word.clone();
                self.position += 1;
                let mut keys = Vec::new();
                while matches!(self.peek(), Some(Kind::OpenBracket)) {
                    self.position += 1;
                    let Some(Kind::Text(key)) = self.peek().cloned() else {
                        return Err(self.unexpected("a key in quotes"));
                    };
                    self.position += 1;
                    if self.peek() != Some(&Kind::CloseBracket) {
                        return Err(self.unexpected("\"]\""));
                    }
                    self.position += 1;
                    keys.push(key);
                    if let Some(Kind::Word(more)) = self.peek()
                        && let Some(names) = more.strip_prefix('.')
                    {
                        keys.extend(names.split('.').map(str::to_owned));
                        self.position += 1;
                    }
                }
                Ok(Operand::Word { text, keys })
            }
            _ => Err(self.unexpected(wanted)),
        }
    }

    fn condition(&mut self) -> Result<Expression, FilterError> {
        let left = self.operand("a selector or a value")?;
        match self.peek() {
            Some(Kind::Equal) => {
                self.position += 1;
                self.equality(left, false)
            }
            Some(Kind::NotEqual) => {
                self.position += 1;
                self.equality(left, true)
            }
            _ => self.worded(left),
        }
    }

    fn equality(&mut self, left: Operand, is_negated: bool) -> Result<Expression, FilterError> {
        let value = self.value()?;
        let (path, selector, shape) = self.selector(left)?;
        let operator = if is_negated { "!=" } else { "==" };
        let test = match shape {
            Shape::Text => Some(Test::Text(value.clone())),
            Shape::Number => value
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map(Test::Number),
            Shape::Boolean => match value.as_str() {
                "true" | "True" | "TRUE" | "t" | "T" | "1" => Some(Test::Boolean(true)),
                "false" | "False" | "FALSE" | "f" | "F" | "0" => Some(Test::Boolean(false)),
                _ => None,
            },
            other => return Err(wrong_operator(operator, selector, other)),
        };
        let test = test.ok_or(FilterError::Value {
            value,
            selector,
            shape: shape.name(),
        })?;
        Ok(Expression::Condition {
            path,
            test,
            is_negated,
        })
    }

    fn worded(&mut self, left: Operand) -> Result<Expression, FilterError> {
        if self.takes("is") {
            let is_negated = self.takes("not");
            if !self.takes("empty") {
                return Err(self.unexpected("\"empty\""));
            }
            let (path, selector, shape) = self.selector(left)?;
            if matches!(shape, Shape::Number | Shape::Boolean | Shape::Object(_)) {
                return Err(wrong_operator("is empty", selector, shape));
            }
            return Ok(Expression::Condition {
                path,
                test: Test::Empty,
                is_negated,
            });
        }
        let is_negated = self.takes("not");
        if self.takes("in") {
            let value = literal(left);
            let right = self.operand("a selector")?;
            return self.membership(right, value, is_negated, "in");
        }
        if self.takes("contains") {
            let value = self.value()?;
            return self.membership(left, value, is_negated, "contains");
        }
        if self.takes("matches") {
            let pattern = self.value()?;
            let (path, selector, shape) = self.selector(left)?;
            if shape != Shape::Text {
                return Err(wrong_operator("matches", selector, shape));
            }
            let test = Test::Matches(self.pattern(pattern)?);
            return Ok(Expression::Condition {
                path,
                test,
                is_negated,
            });
        }
        Err(self.unexpected("an operator"))
    }

    fn membership(
        &self,
        selector: Operand,
        value: String,
        is_negated: bool,
        operator: &'static str,
    ) -> Result<Expression, FilterError> {
        let (path, selector, shape) = self.selector(selector)?;
        if !matches!(shape, Shape::Text | Shape::Texts | Shape::Map(_)) {
            return Err(wrong_operator(operator, selector, shape));
        }
        Ok(Expression::Condition {
            path,
            test: Test::Holds(value),
            is_negated,
        })
    }

    fn value(&mut self) -> Result<String, FilterError> {
        self.operand("a value").map(literal)
    }

    fn pattern(&mut self, pattern: String) -> Result<regex::Regex, FilterError> {
        self.patterns += 1;
        if self.patterns > MAXIMUM_FILTER_PATTERNS {
            return Err(FilterError::TooManyPatterns);
        }
        let depth = u32::try_from(MAXIMUM_FILTER_DEPTH).unwrap_or(u32::MAX);
        let built = RegexBuilder::new(&pattern)
            .size_limit(MAXIMUM_FILTER_PATTERN_BYTES)
            .dfa_size_limit(MAXIMUM_FILTER_PATTERN_BYTES)
            .nest_limit(depth)
            .build();
        built.map_err(|error| FilterError::Pattern {
            pattern,
            reason: error.to_string(),
        })
    }

    /// The steps of a selector, its text, and what it leads to.
    fn selector(&self, operand: Operand) -> Result<(Vec<Step>, String, Shape), FilterError> {
        let (selector, names) = match operand {
            Operand::Text(pointer) => match pointer.strip_prefix('/') {
                Some(path) => {
                    let names = path
                        .split('/')
                        .map(|name| name.replace("~1", "/").replace("~0", "~"));
                    let names = names.collect();
                    (pointer, names)
                }
                None => {
                    return Err(FilterError::Selector {
                        name: pointer.clone(),
                        selector: pointer,
                    });
                }
            },
            Operand::Word { text, keys } => {
                let mut names: Vec<String> = text.split('.').map(str::to_owned).collect();
                names.extend(keys);
                (text, names)
            }
        };
        let mut shape = self.shape;
        let mut path = Vec::with_capacity(names.len());
        for name in names {
            if let Shape::List(inner) = shape {
                shape = *inner;
            }
            (shape, path) = match shape {
                Shape::Map(inner) => {
                    path.push(Step::Key(name));
                    (*inner, path)
                }
                Shape::Object(fields) => {
                    let field = fields.iter().find(|(field, _)| *field == name);
                    let Some((_, inner)) = field else {
                        return Err(FilterError::Selector { selector, name });
                    };
                    path.push(Step::Field(name));
                    (*inner, path)
                }
                _ => return Err(FilterError::Selector { selector, name }),
            };
        }
        Ok((path, selector, shape))
    }
}

fn literal(operand: Operand) -> String {
    match operand {
        Operand::Text(text) | Operand::Word { text, .. } => text,
    }
}

fn wrong_operator(operator: &'static str, selector: String, shape: Shape) -> FilterError {
    FilterError::Operator {
        operator,
        selector,
        shape: shape.name(),
    }
}
